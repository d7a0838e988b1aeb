/**
 * The TypeScript side of the interop tests, the same for Deno and Bun: does what the driver says with one store, and
 * tells what it sees. Takes the URL of the runtime's module.
 *
 * The language is described in `peers.ts`. `peer.rs` and `peer.c` do the same in their runtimes.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { createInterface } from "node:readline";
import { SplinterError, ValueTooLargeError } from "../../ts/errors.ts";
import type { SplinterConstructor } from "../../ts/splinter.ts";
import type { Store } from "../../ts/store.ts";
import { isUniform, PATIENCE_MS } from "../../ts/tests/suite.ts";
import type { SplinterOptions } from "../../ts/types.ts";
import { follow } from "./follower.ts";

type Command = Record<string, string>;

/** The byte that is put behind "log". */
const LOGGED = 7;

const [module] = process.argv.slice(2);
const { Splinter }: { Splinter: SplinterConstructor } = await import(module);

let current: Store | undefined;

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(await answer(JSON.parse(line))) + "\n");
}

async function answer(command: Command): Promise<{ result: unknown } | { error: number }> {
  try {
    return { result: await run(command) };
  } catch (error) {
    if (!(error instanceof SplinterError)) throw error;
    return { error: error.number };
  }
}

function run(command: Command): unknown {
  switch (command.op) {
    case "open":
      current?.close();
      current = open(command);
      return current.path;
    case "close":
      current?.close();
      return null;
    case "remove":
      assert.ok(Splinter.remove(command.name, { memory: command.memory === "true" }));
      return null;
    default:
      assert.ok(current);
      return use(current, command);
  }
}

function open(command: Command): Store {
  const number = (name: string) => name in command ? Number(command[name]) : undefined;
  const options: SplinterOptions = {
    memory: command.memory === "true",
    readOnly: command.read_only === "true",
    slots: number("slots"),
    maxKeySize: number("max_key_bytes"),
    maxValueSize: number("max_value_bytes"),
    journal: number("journal_entries"),
  };
  switch (command.how) {
    case "open":
      return Splinter.open(command.name, options);
    case "create":
      return Splinter.create(command.name, options);
    case "open_or_create":
      return Splinter.openOrCreate(command.name, options);
    case "create_or_open":
      return Splinter.createOrOpen(command.name, options);
    case "anonymous":
      return Splinter.anonymous(options);
    default:
      throw new Error(`There is no way "${command.how}" to open a store`);
  }
}

function use(store: Store, command: Command): unknown {
  const key = bytesOf(command.key ?? "").toString();
  switch (command.op) {
    case "set":
      return store.set(key, bytesOf(command.value)) ?? null;
    case "set_text":
      return store.set(key, bytesOf(command.value).toString()) ?? null;
    case "try_set":
      return store.trySet(key, bytesOf(command.value)) ?? null;
    case "unset":
      return store.unset(key);
    case "try_unset":
      return store.tryUnset(key);
    case "get":
      return get(store, key);
    case "get_text": {
      const text = store.getString(key);
      return text === null ? null : hex(text);
    }
    case "has":
      return store.has(key);
    case "epoch":
      return store.epoch(key)?.toString() ?? null;
    case "keys":
      return Array.from(store.keys({ prefix: key }), hex);
    case "list":
      return Array.from(
        store.entries({ prefix: key }),
        ([key, value]) => [hex(key), String(store.epoch(key)), value.length],
      );
    case "slot": {
      const slot = store.getSlotSnapshot(key);
      if (slot === null) return null;
      assert.equal(slot.key, key);
      return { hash: `${slot.hash}`, epoch: `${slot.epoch}`, val_off: `${slot.val_off}`, val_len: slot.val_len };
    }
    case "header": {
      const { eviction: _, ...shared } = store.getBusHeaderSnapshot();
      const header = Object.entries(shared);
      return Object.fromEntries(
        header.map(([name, value]) => [name, typeof value === "bigint" ? value.toString() : value]),
      );
    }
    case "auto_vacuum":
      assert.equal(store.getAV(), Number(store.autoVacuum));
      return store.autoVacuum;
    case "set_auto_vacuum":
      store.autoVacuum = command.on === "true";
      return null;
    case "poll":
      return store.poll(key, PATIENCE_MS);
    case "count":
      return repeat(command, () => store.add(key, 1, { checked: true }));
    case "count_locked":
      return repeat(command, () => withLock(store, () => store.set(key, (store.getBigInt(key) ?? 0n) + 1n)));
    case "lock":
      return store.set("lock", "", { ifAbsent: true, ttlMs: Number(command.ttl_ms) }).ok;
    case "hammer":
      return hammer(store, () => {});
    case "hammer_more":
      return hammer(store, () => countAndLog(store));
    case "inspect":
      return inspect(store, Number(command.changes));
    case "follow":
      return follow(store, BigInt(command.from), command.churned === "true");
    default:
      throw new Error(`There is no operation "${command.op}"`);
  }
}

/** Reads a value in every way. */
function get(store: Store, key: string): string | null {
  const value = store.getRaw(key);
  assert.deepEqual(store.get(key), value);
  const buffer = new Uint8Array(value?.length ?? 0);
  assert.equal(store.getInto(key, buffer), value?.length ?? null);
  if (value === null) return null;
  assert.deepEqual(buffer, value);
  return hex(value);
}

/** Does something so many times, or for so many seconds, and tells how often. */
function repeat({ times, seconds }: Command, body: () => void): number {
  const end = Date.now() + Number(seconds ?? 0) * 1000;
  let count = 0;
  for (; seconds === undefined ? count < Number(times) : Date.now() < end; count++) body();
  return count;
}

/** Does something while no other process does it. */
function withLock(store: Store, body: () => void): void {
  for (;;) {
    const lock = store.set("lock", "", { ifAbsent: true, ttlMs: PATIENCE_MS });
    if (lock.ok) {
      body();
      assert.ok(store.unset("lock", { ifEpoch: lock.epoch }).ok);
      return;
    }
    // It may have been given back before this begins to wait.
    store.poll("lock", 2);
  }
}

/** Changes two keys as fast as it can, and more, until it is killed: "stay" always has a value, "come" comes and goes. */
function hammer(store: Store, more: () => void): null {
  const { max_val_sz } = store.getBusHeaderSnapshot();
  const values = Array.from({ length: 16 }, (_, i) => 1 + i * 6007 % max_val_sz)
    .map((length) => new Uint8Array(length).fill(length));
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    for (const value of values) {
      store.set("stay", value);
      store.set("come", value);
      store.unset("come");
      more();
    }
  }
  return null;
}

/** Adds to a number, and puts a byte behind a value that begins anew when it is full. */
function countAndLog(store: Store): void {
  store.add("count", 1);
  try {
    store.append("log", Uint8Array.of(LOGGED));
  } catch (error) {
    if (!(error instanceof ValueTooLargeError)) throw error;
    store.set("log", new Uint8Array(0));
  }
}

/** Reads what another hammers, until "stay" was seen in so many states. */
function inspect(store: Store, changes: number): { bad: number; changes: number } {
  const epochs = new Set<bigint | null>();
  let bad = 0;
  for (const end = Date.now() + PATIENCE_MS; epochs.size < changes && Date.now() < end;) {
    if (!isUniform(store.getRaw("stay"))) bad++;
    const value = store.getRaw("come");
    if (value !== null && !isUniform(value)) bad++;
    epochs.add(store.epoch("stay"));
  }
  return { bad, changes: epochs.size };
}

function bytesOf(digits: string): Buffer {
  return Buffer.from(digits, "hex");
}

function hex(data: string | Uint8Array): string {
  return Buffer.from(data as Uint8Array).toString("hex");
}
