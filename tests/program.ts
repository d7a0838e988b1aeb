/** Programs that tests run, and what they print. */
import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import process from "node:process";
import type { Readable } from "node:stream";
import { PATIENCE_MS, soon } from "../ts/tests/suite.ts";

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

  /** Starts it. That of a test that never ends is ended, after a while. */
  constructor([program, ...args]: string[], cwd: string, env: NodeJS.ProcessEnv = process.env) {
    const timeout = 4 * PATIENCE_MS;
    this.#child = spawn(program, args, { cwd, env, timeout, stdio: ["ignore", "pipe", "pipe"] });
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
