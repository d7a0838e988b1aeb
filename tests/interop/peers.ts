/**
 * Processes of every runtime that do as they are told, each with one store.
 *
 * A command is a line on a peer's standard input: a flat JSON object of strings without escapes, "op" and what that
 * operation takes. Keys and values are in hex, numbers in decimal, flags "true". Each command is answered in turn by
 * a line: `{"result": …}`, where 64-bit numbers are strings, or `{"error": N}`, where N is the error's number. A peer
 * ends when its input does.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PATIENCE_MS, TempDir, uniqueName } from "../../ts/tests/suite.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const script = fileURLToPath(new URL("./peer.ts", import.meta.url));

/** The command lines of the peers. */
const COMMANDS = {
  rust: [`${root}rust/target/release/examples/interop_peer`],
  c: [`${root}rust/target/release/interop_peer_c`],
  deno: [
    `${root}node_modules/.bin/deno`,
    "run",
    "--quiet",
    "--allow-all",
    script,
    new URL("../../ts/deno/mod.ts", import.meta.url).href,
  ],
  bun: [`${root}node_modules/.bin/bun`, script, new URL("../../ts/bun/mod.ts", import.meta.url).href],
};

export type RuntimeName = keyof typeof COMMANDS;

export const RUNTIMES = Object.keys(COMMANDS) as RuntimeName[];

/** How a store is opened; what is left out is the default. */
export interface OpenCommand {
  how: "open" | "create" | "open_or_create" | "create_or_open" | "anonymous";
  name?: string;
  memory?: boolean;
  read_only?: boolean;
  slots?: number;
  max_key_bytes?: number;
  max_value_bytes?: number;
  journal_entries?: number;
}

export interface Slot {
  hash: string;
  epoch: string;
  val_off: string;
  val_len: number;
}

/** An error that a peer's store gave. */
export class PeerError extends Error {
  constructor(readonly number: number, task: string) {
    super(`${task} gave error ${number}`);
  }
}

/** One process. */
export class Peer implements AsyncDisposable {
  readonly name: RuntimeName;
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #ended: Promise<number | null>;
  #killed = false;
  #hasEnded = false;
  readonly #asked: { task: string; resolve: (result: unknown) => void; reject: (error: Error) => void }[] = [];

  constructor(name: RuntimeName) {
    this.name = name;
    const [program, ...args] = COMMANDS[name];
    assert.ok(existsSync(program), `"${program}" is missing: scripts/test builds and installs what the tests need`);
    this.#child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", resolve);
    });
    void this.#ended.then(() => {
      this.#hasEnded = true;
      for (const { task, reject } of this.#asked) reject(new Error(`The peer died before it could ${task}`));
    });
    // What cannot be written any more will not be answered either.
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const asked = this.#asked.shift();
      assert.ok(asked, `${name} said without being asked: ${line}`);
      const { result, error } = JSON.parse(line);
      if (error === undefined) asked.resolve(result);
      else asked.reject(new PeerError(error, asked.task));
    });
  }

  async ask<T>(op: string, fields: object = {}): Promise<T> {
    const texts = Object.entries({ op, ...fields }).map(([name, value]) => [name, String(value)]);
    const task = `${op} in ${this.name}`;
    assert.ok(!this.#hasEnded, `The peer died before it was asked to ${task}`);
    const answer = new Promise((resolve, reject) => this.#asked.push({ task, resolve, reject }));
    this.#child.stdin.write(JSON.stringify(Object.fromEntries(texts)) + "\n");
    return await answer as T;
  }

  /** Returns the path by which others can open the store too. */
  open(options: OpenCommand): Promise<string> {
    return this.ask("open", options);
  }

  set(key: string, value: string | Uint8Array): Promise<null> {
    return this.ask("set", { key: hex(key), value: hex(value) });
  }

  /** Sets a value in the way that the runtime has for text. */
  setText(key: string, text: string): Promise<null> {
    return this.ask("set_text", { key: hex(key), value: hex(text) });
  }

  async get(key: string): Promise<Buffer | null> {
    const value = await this.ask<string | null>("get", { key: hex(key) });
    return value === null ? null : Buffer.from(value, "hex");
  }

  async getText(key: string): Promise<string | null> {
    const value = await this.ask<string | null>("get_text", { key: hex(key) });
    return value === null ? null : textOf(value);
  }

  trySet(key: string, value: string | Uint8Array): Promise<null> {
    return this.ask("try_set", { key: hex(key), value: hex(value) });
  }

  unset(key: string): Promise<number | null> {
    return this.ask("unset", { key: hex(key) });
  }

  tryUnset(key: string): Promise<number | null> {
    return this.ask("try_unset", { key: hex(key) });
  }

  has(key: string): Promise<boolean> {
    return this.ask("has", { key: hex(key) });
  }

  async epoch(key: string): Promise<bigint | null> {
    const epoch = await this.ask<string | null>("epoch", { key: hex(key) });
    return epoch === null ? null : BigInt(epoch);
  }

  /** The keys, in order. */
  async keys(prefix = ""): Promise<string[]> {
    const keys = await this.ask<string[]>("keys", { key: hex(prefix) });
    return keys.map(textOf).sort();
  }

  /** Keys, epochs and lengths, in order. */
  async list(prefix = ""): Promise<[key: string, epoch: string, length: number][]> {
    const entries = await this.ask<[string, string, number][]>("list", { key: hex(prefix) });
    const readable = entries.map(([key, epoch, length]) => [textOf(key), epoch, length] as [string, string, number]);
    return readable.sort(([a], [b]) => a < b ? -1 : 1);
  }

  slot(key: string): Promise<Slot | null> {
    return this.ask("slot", { key: hex(key) });
  }

  header(): Promise<Record<string, string | number>> {
    return this.ask("header");
  }

  autoVacuum(): Promise<boolean> {
    return this.ask("auto_vacuum");
  }

  setAutoVacuum(on: boolean): Promise<null> {
    return this.ask("set_auto_vacuum", { on });
  }

  poll(key: string): Promise<boolean> {
    return this.ask("poll", { key: hex(key) });
  }

  /** Returns when the process sleeps in `poll`: its main thread waits for a futex that processes share. */
  async sleeps(): Promise<void> {
    const futex = process.arch === "arm64" ? "98" : "202";
    await this.#until("syscall", (call) => call.startsWith(`${futex} `) && call.split(" ")[2] === "0x0");
  }

  /** Stops the process at whatever it does, and returns when it stands still. */
  async stop(): Promise<void> {
    this.#child.kill("SIGSTOP");
    await this.#until("stat", (stat) => /\) T /.test(stat));
  }

  /** Lets the process go on. */
  continue(): void {
    this.#child.kill("SIGCONT");
  }

  /** Waits for what the system tells about the main thread, which is the one that uses the store. */
  async #until(file: "syscall" | "stat", holds: (text: string) => boolean): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!holds(readFileSync(`/proc/${this.#child.pid}/${file}`, "latin1"))) {
      assert.ok(Date.now() < end, `${this.name} did not get there`);
      await setImmediate();
    }
  }

  /** Ends the process at whatever it does, and returns when it is gone. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  /** Ends the process as its driver's end would. One that still works at something is not listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#asked.length > 0) await this.kill();
    this.#child.stdin.end();
    const status = await this.#ended;
    assert.ok(this.#killed || status === 0, `${this.name} ended with ${status}`);
  }
}

/** One process of each runtime, and perhaps a store that all of them have open. */
export class Peers implements AsyncDisposable {
  readonly all: readonly Peer[] = RUNTIMES.map((name) => new Peer(name));

  of(name: RuntimeName): Peer {
    const peer = this.all.find((peer) => peer.name === name);
    assert.ok(peer);
    return peer;
  }

  others(peer: Peer): Peer[] {
    return this.all.filter((other) => other !== peer);
  }

  /** What each of them answers, if all of them answer the same. */
  async agree<T>(question: (peer: Peer) => Promise<T>): Promise<T> {
    const answers = await Promise.all(this.all.map(question));
    for (const [i, { name }] of this.all.entries()) {
      assert.deepEqual(answers[i], answers[0], `${name} does not agree with ${this.all[0].name}`);
    }
    return answers[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.all.map((peer) => peer[Symbol.asyncDispose]()));
  }
}

/** What a store can live in. */
export const KINDS = ["a file", "shared memory", "an anonymous store"] as const;

/** A store that one peer made and all have open, until the end of the block. */
export class Shared implements AsyncDisposable {
  readonly #peers: Peers;
  readonly #dir = new TempDir();
  /** How the others open it. */
  opening: OpenCommand = { how: "open" };
  /** Where it is seen. */
  path = "";

  private constructor(peers: Peers) {
    this.#peers = peers;
  }

  static async make(
    peers: Peers,
    options: Omit<OpenCommand, "how"> = {},
    kind: typeof KINDS[number] = "a file",
    maker = peers.all[0],
  ): Promise<Shared> {
    const shared = new Shared(peers);
    try {
      const place = kind === "shared memory" ? { name: uniqueName(), memory: true } : { name: shared.#dir.file() };
      shared.opening = { how: "open", ...place };
      const how = kind === "an anonymous store" ? "anonymous" : "create";
      shared.path = await maker.open({ ...options, ...place, how });
      if (kind === "an anonymous store") shared.opening = { how: "open", name: shared.path };
      await Promise.all(peers.others(maker).map((peer) => peer.open(shared.opening)));
      return shared;
    } catch (error) {
      await shared[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Leaves nothing behind, whoever has died meanwhile. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#peers.all.map((peer) => peer.ask("close")));
    if (this.opening.memory) rmSync(`/dev/shm/${this.opening.name}`, { force: true });
    this.#dir[Symbol.dispose]();
  }
}

/** The number of the error that a peer's store gave. */
export async function errorOf(answer: Promise<unknown>): Promise<number> {
  try {
    await answer;
  } catch (error) {
    if (error instanceof PeerError) return error.number;
    throw error;
  }
  return 0;
}

function hex(data: string | Uint8Array): string {
  return Buffer.from(data as Uint8Array).toString("hex");
}

function textOf(digits: string): string {
  return Buffer.from(digits, "hex").toString();
}
