/** The examples as their readers run them: programs of their own, in an empty directory. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { PATIENCE_MS, soon } from "../../ts/tests/suite.ts";

/** This repository. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Where the Rust part is built. */
export const RELEASE = `${ROOT}rust/target/release`;

/** The path of a file of the examples. */
export function example(file: string): string {
  return `${ROOT}examples/${file}`;
}

/** What a script in Deno is allowed that has a store. */
const PERMISSIONS = ["--allow-ffi", "--allow-read", "--allow-write"];

/** The command that runs a script of the examples in Bun. */
export function bun(file: string, ...args: string[]): string[] {
  return [`${ROOT}node_modules/.bin/bun`, example(file), ...args];
}

/** The command that runs a script of the examples in Deno, with what it is allowed besides a store. */
export function deno(allowed: string[], file: string, ...args: string[]): string[] {
  return [`${ROOT}node_modules/.bin/deno`, "run", "--quiet", ...PERMISSIONS, ...allowed, example(file), ...args];
}

/** One run of a program. */
export class Program implements AsyncDisposable {
  readonly pid: number;
  /** What it has printed, on either stream. */
  output = "";
  /** Its status; `null` if a signal ended it. */
  readonly ended: Promise<number | null>;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  #hasEnded = false;
  #told = () => {};

  constructor([program, ...args]: string[], cwd: string, env: Record<string, string> = {}) {
    this.#child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        this.output += text;
        this.#told();
      });
    }
    this.ended = new Promise((resolve, reject) => {
      this.#child.on("error", reject);
      this.#child.on("close", (status) => {
        this.#hasEnded = true;
        this.#told();
        resolve(status);
      });
    });
    assert.ok(this.#child.pid, `"${program}" could not be started`);
    this.pid = this.#child.pid;
  }

  /** Waits until it has printed something, and returns that. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (const end = Date.now() + PATIENCE_MS;;) {
      const found = pattern.exec(this.output);
      if (found) return found;
      assert.ok(!this.#hasEnded && Date.now() < end, `It did not print ${pattern}, but:\n${this.output}`);
      await new Promise<void>((resolve) => {
        this.#told = resolve;
        setTimeout(resolve, 1000);
      });
    }
  }

  /** Waits for its end, and returns what it has printed; it must have succeeded. */
  async succeeds(): Promise<string> {
    const status = await soon(this.ended);
    assert.equal(status, 0, this.output);
    return this.output;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Ends it at whatever it does, and returns when it is gone. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** Runs a program to its end, and returns what it has printed. */
export async function run(command: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  await using program = new Program(command, cwd, env);
  return await program.succeeds();
}
