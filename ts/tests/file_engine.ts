/** What the engine without native code does to a store, seen by itself and by the native one. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as errors from "../errors.ts";
import { Access } from "../file/access.ts";
import { xxh3 } from "../file/xxh3.ts";
import type { SplinterConstructor } from "../splinter.ts";
import type { Store } from "../store.ts";
import type { SplinterOptions, StoreValue } from "../types.ts";
import { errorTests } from "./errors.ts";
import { keyTests } from "./keys.ts";
import { lookingTests } from "./looking.ts";
import { modelTests } from "./model.ts";
import { operationTests } from "./operations.ts";
import { runtimeOf, start } from "./programs.ts";
import { isUniform, PATIENCE_MS, pattern, type Suite, TempDir, until } from "./suite.ts";
import { valueTests } from "./values.ts";

/** Tests of the behaviour that this engine does not pass, each for a reason. */
const OTHERWISE = new Map([
  // Two store objects that write.
  ["Wiping is a property of the store", "alone"],
  ["Opening with another shape says which shape the store has", "alone"],
  ["A full store does as its policy says, and spares what is pinned", "alone"],
  ["A store that sweeps tells of what has run out of time by itself, until it is closed", "alone"],
  ["What is made of a value that others change is made of one whole value", "alone"],
  // Nothing lies where it could be looked at.
  ["Whatever the function does that looks, its bytes stay where they are until it returns", "copies"],
  // Stores in memory.
  ["A name or path that cannot be one says so", "files"],
  ["Keys are watched by their labels", "unwatched"],
  ["A watch may ask for what is appended alone", "unwatched"],
  ["Watches and changes tell how a key went, and what else became of it", "unwatched"],
  ["A namespace is a store of its own", "unwatched"],
]);

const CHECKER = fileURLToPath(new URL("../../rust/target/release/splinterctl", import.meta.url));
const ROUNDS = Number(process.env.SPLINTER_TEST_ROUNDS ?? 1);
const SEED = Number(process.env.SPLINTER_TEST_SEED ?? 1);
const STRIDE = Number(process.env.SPLINTER_TEST_STRIDE ?? 3);

/** Fails unless the native library finds nothing wrong with a store. */
function assertFlawless(path: string): void {
  const { status, stdout, stderr } = spawnSync(CHECKER, ["--persistent", "--use", path, "check"], { encoding: "utf8" });
  // What costs time alone, such as a count that is too high, is told and is no failure.
  assert.ok(status === 0 && stdout.includes("Nothing is wrong."), `${stdout}${stderr}`);
}

/** Numbers that look random and come again with the same seed. */
function* random(seed: number): Generator<number, never, undefined> {
  for (let state = seed >>> 0 || 1;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

function optionsOf(slots?: number | SplinterOptions, maxValueSize?: number): SplinterOptions {
  return { ...(typeof slots === "object" ? slots : { slots, maxValueSize }), engine: "file" };
}

/** Registers the tests of the behaviour with stores of this engine, each of which is looked over in the end. */
function behaviourTests({ Splinter, ...suite }: Suite): void {
  let dir = "";
  const stores: Store[] = [];
  const opened = (store: Store) => {
    stores.push(store);
    return store;
  };
  const byFile = {
    create: (path: string | URL, slots?: number | SplinterOptions, maxValueSize?: number) =>
      opened(Splinter.create(path, optionsOf(slots, maxValueSize))),
    open: (path: string | URL, slots?: number | SplinterOptions, maxValueSize?: number) =>
      opened(Splinter.open(path, optionsOf(slots, maxValueSize))),
    openOrCreate: (path: string | URL, slots?: number | SplinterOptions, maxValueSize?: number) =>
      opened(Splinter.openOrCreate(path, optionsOf(slots, maxValueSize))),
    createOrOpen: (path: string | URL, slots?: number | SplinterOptions, maxValueSize?: number) =>
      opened(Splinter.createOrOpen(path, optionsOf(slots, maxValueSize))),
    anonymous: (options: SplinterOptions) => opened(Splinter.create(join(dir, `${stores.length}`), optionsOf(options))),
    memory: Splinter.memory,
    remove: Splinter.remove,
    prototype: Splinter.prototype,
  } as unknown as SplinterConstructor;
  const left = new Set(OTHERWISE.keys());
  const test: Suite["test"] = (name, body) => {
    if (left.delete(name)) return;
    suite.test(`By the engine "file": ${name}`, async () => {
      dir = mkdtempSync(join(tmpdir(), "splinter-test-"));
      try {
        await body();
        // Those that the test has left open too.
        for (const store of stores.splice(0)) store.close();
        for (const name of readdirSync(dir)) assertFlawless(join(dir, name));
      } finally {
        rmSync(dir, { recursive: true });
      }
    });
  };
  for (const tests of [valueTests, keyTests, errorTests, operationTests, lookingTests, modelTests]) {
    tests({ ...suite, Splinter: byFile, test });
  }
  assert.deepEqual([...left], []);
}

/** All that can be read of a key, or of a store. */
function allOf(store: Store): unknown {
  const keys = store.list(Infinity).sort();
  const of = (key: string) => ({
    entry: store.getEntry(key),
    text: store.getString(key),
    slot: { ...store.getSlotSnapshot(key), ttl: undefined },
    hasTime: store.ttl(key) !== Infinity,
    labels: store.labels(key),
    epoch: store.epoch(key),
    has: store.has(key),
  });
  return {
    keys,
    header: store.getBusHeaderSnapshot(),
    values: keys.map(of),
    many: store.getMany([...keys, "never"]),
    scanned: [...store.scan()].sort((a, b) => a.key < b.key ? -1 : 1),
    labelled: store.list(Infinity, { labels: 1n }).sort(),
    prefixed: store.list(Infinity, { prefix: "größe/" }).sort(),
    names: [...store.labelNames()],
    eviction: store.eviction,
  };
}

/** Makes many changes of all kinds, as the seed says. */
function change(store: Store, numbers: Generator<number, never, undefined>, times: number): void {
  const { max_val_sz } = store.getBusHeaderSnapshot();
  const next = (below: number) => numbers.next().value % below;
  for (let i = 0; i < times; i++) {
    const key = `${["a", "größe/", "key/of/some/length/"][next(3)]}${next(20)}`;
    const value = new Uint8Array(next(max_val_sz + 1)).fill(next(256));
    switch (next(10)) {
      case 0:
        store.unset(key);
        break;
      case 1:
        store.expire(key, 1_000_000);
        break;
      case 2:
        store.set(key, value, { ttlMs: next(2) === 0 ? 1 : 1_000_000 });
        break;
      case 3:
        if ((store.getEntry(key)?.value.length ?? 0) < max_val_sz) store.append(key, Uint8Array.of(next(256)));
        break;
      case 4:
        store.label(key, { add: next(8), remove: next(8) });
        break;
      case 5:
        store.pin(key, next(2) === 0);
        break;
      case 6:
        if ([null, 8].includes(store.getEntry(key)?.value.length ?? null)) store.add(key, next(100));
        break;
      default:
        store.set(key, value);
    }
  }
}

/** Thrown where a process would be dead. */
class Killed extends Error {}

/** Lets an engine write so many times and no more, as if it were killed then. Returns whether it got that far. */
function killedAfter(writes: number, work: () => void): boolean {
  const { write } = Access.prototype;
  let left = writes;
  Access.prototype.write = function (at: number, from: Uint8Array) {
    if (left-- <= 0) throw new Killed();
    write.call(this, at, from);
  };
  try {
    work();
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  } finally {
    Access.prototype.write = write;
  }
}

/** The changes in the middle of which the writer is killed: of which store, and what a reader may find afterwards. */
const DEATHS: { name: string; before: (store: Store) => void; change: (store: Store) => void }[] = [
  { name: "an insert", before: () => {}, change: (store) => store.set("key", "new value") },
  {
    name: "an overwrite",
    before: (store) => store.set("key", "the old value, which is longer"),
    change: (store) => store.set("key", "new value"),
  },
  { name: "a deletion", before: (store) => store.set("key", "old value"), change: (store) => store.unset("key") },
  {
    name: "an append",
    before: (store) => store.set("key", "old value"),
    change: (store) => store.append("key", " and more"),
  },
  {
    name: "a second append",
    before: (store) => {
      store.set("key", "old");
      store.append("key", " value");
    },
    change: (store) => store.append("key", " and more"),
  },
  {
    name: "a deadline",
    before: (store) => store.set("key", "old value"),
    change: (store) => store.expire("key", 1_000_000),
  },
  {
    name: "a value with a deadline",
    before: (store) => store.set("key", "old value", { ttlMs: 5_000_000 }),
    change: (store) => store.set("key", "new value", { ttlMs: 1_000_000 }),
  },
  {
    name: "a label",
    before: (store) => store.set("key", "old value"),
    change: (store) => store.label("key", { add: 3 }),
  },
  { name: "a number", before: (store) => store.set("key", 7n), change: (store) => store.add("key", 1) },
  {
    name: "an eviction",
    before: (store) => {
      store.eviction = "lru";
      for (let i = 0; store.list().length < 8; i++) store.set(`other/${i}`, "x");
    },
    change: (store) => store.set("key", "new value"),
  },
];

/** Registers all tests. `canWrite`: this runtime locks files without foreign functions. */
export function fileEngineTests(suite: Suite, canWrite: boolean): void {
  const { test, Splinter, module } = suite;
  const reading = { engine: "file", readOnly: true } as const;
  const writing = { engine: "file" } as const;

  test("The hash of this engine is that of the native one, for inputs of every length", () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file(), { slots: 2, maxKeySize: 1024, maxValueSize: 8, eviction: "lru" });
    const header = readFileSync(store.path);
    const seed = header.readBigUInt64LE(40);
    for (let length = 1; length <= 1024; length++) {
      const key = Array.from({ length }, (_, i) => String.fromCharCode(33 + (i * 7 + length) % 90)).join("");
      store.set(key, "");
      assert.equal(xxh3(new TextEncoder().encode(key), seed), store.getSlotSnapshot(key)?.hash, `${length}`);
    }
    assert.equal(xxh3(header.subarray(0, 64)), header.readBigUInt64LE(64));
  });

  test("All that the native engine reads of a store this one reads too", () => {
    for (const autoVacuum of [true, false]) {
      using dir = new TempDir();
      using store = Splinter.create(dir.file(), { slots: 100, maxValueSize: 5000, maxKeySize: 300, autoVacuum });
      using reader = Splinter.open(store.path, reading);
      assert.deepEqual(allOf(reader), allOf(store));
      store.nameLabel(0, "hot");
      store.nameLabel(3, "größe");
      store.nameLabel(3, "length");
      const values: StoreValue[] = ["", "text", "\ufeff日本", { a: 1 }, 5n, -5n, pattern(4096), pattern(5000)];
      values.forEach((value, i) => store.set(`value/${i}`, value, { type: i === 6 ? "image" : undefined }));
      store.set("x".repeat(300), "long");
      store.label("value/1", { add: ["hot", "length"] });
      const numbers = random(SEED);
      for (let round = 0; round < 20 * ROUNDS; round++) {
        change(store, numbers, 50);
        // What runs out of time between two looks would differ.
        store.sweep();
        const end = Date.now() + 2;
        while (Date.now() < end);
        store.sweep();
        assert.deepEqual(allOf(reader), allOf(store));
      }
    }
    console.log(`tried: ${2 * 20 * ROUNDS * 50} changes read by both engines`);
  });

  test("A key whose time is up is not there for this engine either", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    store.set("key", "value", { ttlMs: 30 });
    store.set("other", "value", { ttlMs: 100_000 });
    using reader = Splinter.open(store.path, reading);
    const left = reader.ttl("other");
    assert.ok(left !== null && left > 90_000 && left <= 100_000);
    await until(() => !reader.has("key"));
    assert.deepEqual([reader.get("key"), reader.epoch("key"), reader.ttl("key")], [null, null, null]);
    assert.deepEqual(reader.list(), ["other"]);
  });

  for (const runtime of ["deno", "bun"] as const) {
    test(`This engine reads no value torn or missing while ${runtime} hammers it`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      store.set("value", new Uint8Array(1).fill(1));
      using reader = Splinter.open(store.path, { ...reading, lockTimeoutMs: PATIENCE_MS });
      const ended = start({ runtime, store, job: "hammer" });
      let reads = 0;
      try {
        assert.ok(reader.has("ready") || reader.poll("ready", PATIENCE_MS) || reader.has("ready"));
        const epochs = new Set<bigint | undefined>();
        const end = performance.now() + 1000 * Number(process.env.SPLINTER_TEST_SECONDS ?? 1);
        const late = Date.now() + PATIENCE_MS;
        for (; (performance.now() < end || epochs.size < 100) && Date.now() < late; reads++) {
          const entry = reader.getEntry("value");
          assert.ok(isUniform(entry?.value ?? null));
          assert.deepEqual(reader.list().filter((key) => key === "value"), ["value"]);
          epochs.add(entry?.epoch);
        }
        assert.ok(epochs.size >= 100, `${epochs.size} states`);
      } finally {
        store.set("stop", "");
        assert.equal(await ended, 0);
      }
      console.log(`tried: ${reads} reads beside a writer`);
    });
  }

  test("This engine waits for a key by looking again and again", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    using reader = Splinter.open(store.path, { ...reading, pollIntervalMs: 2 });
    assert.equal(reader.poll("tick", 5), false);
    const ended = start({ runtime: runtimeOf(module), store, job: "tick" });
    try {
      for (let i = 0; i < 5; i++) assert.equal(reader.poll("tick", PATIENCE_MS), true);
    } finally {
      store.set("stop", "");
      assert.equal(await ended, 0);
    }
  });

  test("A reader of this engine changes nothing, and says so", () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    store.set("key", "value");
    using reader = Splinter.open(store.path, reading);
    const before = readFileSync(store.path);
    const changes = [
      () => reader.set("key", "other"),
      () => reader.unset("key"),
      () => reader.append("key", "x"),
      () => reader.add("number", 1),
      () => reader.expire("key", 1),
      () => reader.label("key", { add: 1 }),
      () => reader.nameLabel(1, "name"),
      () => reader.sweep(),
      () => reader.autoVacuum = false,
      () => reader.eviction = "lru",
    ];
    for (const change of changes) assert.throws(change, { code: "PERMISSION" }, String(change));
    assert.equal(reader.view("key", (bytes) => bytes.length), 5);
    assert.ok(before.equals(readFileSync(store.path)));
  });

  test("What this engine cannot do is an error of its own", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    using reader = Splinter.open(store.path, reading);
    const uses: (() => unknown)[] = [
      () => reader.watch("key"),
      () => reader.changes(),
      () => reader.subscribe("key", () => {}),
      () => reader.channel("chat"),
      () => reader.sync(),
      () => reader.backup(dir.file("copy")),
      () => Splinter.memory("name", writing),
      () => Splinter.anonymous(writing as SplinterOptions),
      () => Splinter.open(store.path, { ...writing, durability: "commit" }),
    ];
    if (!canWrite) uses.push(() => Splinter.open(store.path, writing), () => Splinter.create(dir.file("new"), writing));
    for (const use of uses) {
      assert.throws(use, { name: "UnsupportedError", code: "UNSUPPORTED", message: /"file"/ }, String(use));
    }
    await assert.rejects(reader.pollAsync("key"), { code: "UNSUPPORTED" });
    assert.throws(() => Splinter.open(store.path, { engine: "other" as "file" }), errors.InvalidArgumentError);
    assert.ok(!existsSync(dir.file("new")));
  });

  test("What is no store, or a damaged one, is the same error for both engines", () => {
    using dir = new TempDir();
    const path = dir.file();
    Splinter.create(path, 8, 64).close();
    const whole = readFileSync(path);
    const open = (options: SplinterOptions) => {
      try {
        Splinter.open(path, options).close();
        return "opened";
      } catch (error) {
        return (error as errors.SplinterError).code;
      }
    };
    const same = (what: string) => assert.equal(open(reading), open({ readOnly: true }), what);
    for (let bit = 0; bit < 128 * 8; bit++) {
      const damaged = Uint8Array.from(whole);
      damaged[bit >> 3] ^= 1 << (bit & 7);
      writeFileSync(path, damaged);
      same(`bit ${bit}`);
    }
    for (const length of [0, 1, 4, 7, 8, 127, 128, 4095, 4096, whole.length - 4096, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      same(`${length} bytes`);
    }
    writeFileSync(path, "This is not a store. ".repeat(1000));
    same("text");
    rmSync(path);
    same("nothing");
    for (const other of [dir.path, "/dev/null"]) {
      assert.throws(() => Splinter.open(other, reading), errors.NotAStoreError);
    }
    assert.throws(() => Splinter.open(dir.file("no/such"), reading), errors.NoStoreError);
  });

  test("A store whose bytes lie gives errors or values, and nothing else", () => {
    using dir = new TempDir();
    const path = dir.file();
    {
      using store = Splinter.create(path, { slots: 64, maxValueSize: 300, journal: 64 });
      change(store, random(SEED), 400);
    }
    const whole = readFileSync(path);
    const numbers = random(SEED + 1);
    const next = (below: number) => numbers.next().value % below;
    let refused = 0;
    const count = 100 * ROUNDS;
    for (let round = 0; round < count; round++) {
      const lying = Uint8Array.from(whole);
      // Behind what a checksum covers; most of it where the slots and the index are, in front of the values.
      for (let i = 1 + next(40); i > 0; i--) {
        const at = next(2) === 0 ? 128 + next(lying.length - 128) : 94_208 + next(8192);
        lying[at] = next(3) === 0 ? 0xff : next(256);
      }
      writeFileSync(path, lying);
      using reader = Splinter.open(path, { ...reading, lockTimeoutMs: 1 });
      const keys = ["a1", "größe/3", "key/of/some/length/7"];
      const attempts = [
        () => keys.push(...reader.list()),
        () => {
          for (const key of keys) {
            const value = reader.get(key);
            assert.ok(value === null || value.length <= 300);
            reader.getSlotSnapshot(key), reader.ttl(key), reader.labels(key);
          }
        },
      ];
      for (const attempt of attempts) {
        try {
          attempt();
        } catch (error) {
          assert.ok(error instanceof errors.SplinterError, String(error));
          refused++;
        }
      }
      reader.labelNames(), reader.getBusHeaderSnapshot();
      if (!canWrite) continue;
      try {
        using writer = Splinter.open(path, writing);
        for (let i = 0; i < 5; i++) change(writer, numbers, 4);
        writer.sweep();
      } catch (error) {
        assert.ok(error instanceof errors.SplinterError, String(error));
      }
    }
    assert.ok(refused > 0);
    console.log(`tried: ${count} lying stores`);
  });

  test("A file that is cut while this engine has it open is an error", () => {
    using dir = new TempDir();
    const path = dir.file();
    {
      using store = Splinter.create(path);
      store.set("key", "value");
    }
    using reader = Splinter.open(path, reading);
    writeFileSync(path, "");
    assert.throws(() => reader.get("key"), errors.CorruptError);
    assert.throws(() => reader.list(), errors.CorruptError);
  });

  if (!canWrite) return;
  behaviourTests(suite);

  test("What this engine writes is what the native one reads", () => {
    for (const autoVacuum of [true, false]) {
      using dir = new TempDir();
      const path = dir.file();
      const numbers = random(SEED + 2);
      for (let round = 0; round < 5 * ROUNDS; round++) {
        // In turn, so that each goes on with what the other has left.
        using writer = Splinter.openOrCreate(path, {
          slots: 64,
          maxValueSize: 900,
          autoVacuum,
          engine: round % 2 === 0 ? "file" : "native",
        });
        using reader = Splinter.open(path, { readOnly: true });
        change(writer, numbers, 200);
        writer.sweep();
        const end = Date.now() + 2;
        while (Date.now() < end);
        writer.sweep();
        assert.deepEqual(allOf(reader), allOf(writer));
        writer.close();
        assertFlawless(path);
      }
    }
  });

  test("Keys that do not fit where they belong are found by both engines, and leave nothing behind", () => {
    using dir = new TempDir();
    const path = dir.file();
    const chunks = 4n;
    const keys: string[] = [];
    {
      using writer = Splinter.create(path, { ...writing, slots: 24, maxValueSize: 64 });
      for (let i = 0; keys.length < 20; i++) {
        writer.set(`${i}`, "");
        const hash = writer.getSlotSnapshot(`${i}`)?.hash ?? 0n;
        writer.unset(`${i}`);
        // The last chunk, behind which the first is.
        if ((hash >> 32n) * chunks >> 32n === chunks - 1n) keys.push(`${i}`);
      }
    }
    for (const engine of ["file", "native"] as const) {
      using writer = Splinter.open(path, { engine });
      using reader = Splinter.open(path, { engine: engine === "file" ? "native" : "file", readOnly: true });
      keys.forEach((key) => writer.set(key, key));
      for (const store of [writer, reader]) keys.forEach((key) => assert.equal(store.getString(key), key));
      writer.close();
      assertFlawless(path);
      // By the other, in another order.
      using deleter = Splinter.open(path, { engine: engine === "file" ? "native" : "file" });
      for (const key of [...keys.slice(7), ...keys.slice(0, 7)]) assert.equal(deleter.unset(key), key.length);
      deleter.close();
      assertFlawless(path);
    }
  });

  test("Readers of the native engine see each change of this one, and its journal tells them", async () => {
    using dir = new TempDir();
    using writer = Splinter.create(dir.file(), writing);
    using reader = Splinter.open(writer.path, { readOnly: true });
    using changes = reader.changes();
    using watch = reader.watch("a/*");
    writer.set("a/1", "one");
    writer.append("a/1", " more");
    writer.set("b", 1);
    writer.label("b", { add: 1 });
    writer.unset("a/1");
    const kinds: string[] = [];
    for await (const { kind } of changes) {
      kinds.push(kind);
      if (kinds.length === 5) break;
    }
    // That of "a/1" is known, for the feed looks at a slot as soon as it hears of it, or it has vanished by then.
    assert.deepEqual(kinds.slice(2, 4), ["set", "attributes"]);
    writer.set("a/2", "two");
    for await (const { key, kind, value } of watch) {
      if (key !== "a/2") continue;
      assert.deepEqual([kind, new TextDecoder().decode(value ?? undefined)], ["set", "two"]);
      break;
    }
  });

  test("Who writes by this engine is alone, and lets others in when he is gone", () => {
    using dir = new TempDir();
    const path = dir.file();
    const impatient = { lockTimeoutMs: 1 };
    const isBusy = (open: () => Store) => assert.throws(open, { code: "BUSY" });
    const native = Splinter.create(path);
    isBusy(() => Splinter.open(path, { ...writing, ...impatient }));
    Splinter.open(path, reading).close();
    native.close();
    const alone = Splinter.open(path, writing);
    isBusy(() => Splinter.open(path, { ...writing, ...impatient }));
    isBusy(() => Splinter.open(path, impatient));
    alone.set("key", "value");
    using reader = Splinter.open(path, { readOnly: true });
    assert.equal(reader.getString("key"), "value");
    alone.close();
    Splinter.open(path, writing).close();
    using last = Splinter.open(path);
    assert.equal(last.getString("key"), "value");
  });

  test("A new store of this engine appears complete, and private", () => {
    using dir = new TempDir();
    const path = dir.file();
    Splinter.create(path, { ...writing, slots: 70, maxValueSize: 300, autoVacuum: false, eviction: "ttl" }).close();
    assert.throws(() => Splinter.create(path, writing), errors.ExistsError);
    assert.throws(() => Splinter.open(path, { ...writing, slots: 71 }), errors.IncompatibleError);
    assertFlawless(path);
    using store = Splinter.open(path);
    const { slots, max_val_sz, auto_vacuum, eviction } = store.getBusHeaderSnapshot();
    assert.deepEqual([slots, max_val_sz, auto_vacuum, eviction], [70, 300, 0, "ttl"]);
    assert.throws(() => Splinter.create(dir.file("no/such/directory"), writing), errors.IoError);
  });

  for (const { name, before, change } of DEATHS) {
    test(`A writer of this engine that is killed at any step of ${name} leaves the old or the new`, () => {
      using dir = new TempDir();
      const [path, first] = [dir.file(), dir.file("first")];
      let points = 0;
      for (const autoVacuum of [true, false]) {
        {
          using store = Splinter.create(first, { ...writing, slots: 8, maxValueSize: 100, autoVacuum });
          store.set("bystander", "unharmed");
          before(store);
        }
        const stateOf = (store: Store) =>
          JSON.stringify([store.getString("key"), store.labels("key"), store.ttl("key") === Infinity]);
        const states = new Set<string>();
        let old = "";
        let told = 0n;
        for (const isDone of [false, true]) {
          copyFileSync(first, path);
          using store = Splinter.open(path, writing);
          if (isDone) {
            change(store);
          } else {
            old = stateOf(store);
            told = store.getBusHeaderSnapshot().epoch;
          }
          states.add(stateOf(store));
        }
        for (let writes = 0, isDead = true; isDead; writes++, points++) {
          copyFileSync(first, path);
          const store = Splinter.open(path, writing);
          isDead = killedAfter(writes, () => change(store));
          killedAfter(0, () => store.close());
          using reader = Splinter.open(path, { readOnly: true });
          assert.ok(states.has(stateOf(reader)), `${writes} writes: ${stateOf(reader)} is none of ${[...states]}`);
          // Either engine finishes what the dead one left.
          using next = Splinter.open(path, { engine: writes % 2 === 0 ? "file" : "native" });
          assert.equal(stateOf(next), stateOf(reader));
          if (stateOf(next) !== old) assert.ok(next.getBusHeaderSnapshot().epoch > told, `${writes} writes: not told`);
          next.set("key", "after");
          next.unset("key");
          next.set("key", "again");
          assert.equal(next.getString("key"), "again");
          if (name !== "an eviction") assert.equal(next.getString("bystander"), "unharmed");
          next.close();
          if (writes % STRIDE === 0) assertFlawless(path);
        }
        rmSync(first);
      }
      console.log(`tried: ${points} kill points of the engine "file"`);
    });
  }

  test("A process that is killed while it writes by this engine leaves whole values to all others", async () => {
    using dir = new TempDir();
    const path = dir.file();
    Splinter.create(path, { ...writing, slots: 8, maxValueSize: 2000 }).close();
    const script = fileURLToPath(new URL("./file_writer.ts", import.meta.url));
    const kills = Number(process.env.SPLINTER_TEST_KILLS ?? 6);
    let last = 0n;
    for (let kill = 0; kill < kills; kill++) {
      const child = spawn(process.execPath, ["run", "--quiet", "--allow-all", script, module, path], {
        stdio: "inherit",
      });
      const ended = new Promise((resolve) => child.on("exit", resolve));
      {
        const engine = kill % 2 === 0 ? "native" : "file";
        using reader = Splinter.open(path, { engine, readOnly: true, lockTimeoutMs: PATIENCE_MS });
        await until(() => {
          for (let i = 0; i < 20; i++) {
            const [stay, come] = reader.getMany(["stay", "come"]);
            assert.ok(stay === null && last === 0n || isUniform(stay));
            assert.ok(come === null || isUniform(come));
          }
          return (reader.epoch("stay") ?? 0n) > last + 400n + BigInt(kill);
        });
        assert.throws(() => Splinter.open(path, { lockTimeoutMs: 1 }), { code: "BUSY" });
      }
      child.kill("SIGKILL");
      await ended;
      using store = Splinter.open(path, kill % 2 === 0 ? {} : writing);
      assert.ok(isUniform(store.get("stay")));
      assert.ok(store.get("come") === null || isUniform(store.get("come")));
      const epoch = store.epoch("stay");
      assert.ok(epoch !== null && epoch > last);
      store.set("stay", new Uint8Array(5).fill(5));
      last = store.epoch("stay") ?? 0n;
      store.close();
      assertFlawless(path);
    }
    console.log(`tried: ${kills} kills of writers by the engine "file"`);
  });
}
