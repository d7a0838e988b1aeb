/** The queue in the shell: every job is done, by one consumer at a time, whoever dies. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { symlinkSync } from "node:fs";
import { PATIENCE_MS, TempDir, until } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { example, RELEASE, run } from "./program.ts";

/** A directory for a store, and what runs the script in it. */
class Queue extends TempDir {
  readonly #env = { ...process.env, PATH: `${this.path}:${process.env.PATH}`, JOB_SECONDS: "1" };

  constructor() {
    super();
    symlinkSync(`${RELEASE}/splinterctl`, this.file("splinterpctl"));
  }

  start(action: string, ...jobs: string[]): Program {
    return new Program([example("bash/jobs"), action, this.file(), ...jobs], this.path, this.#env);
  }

  async run(action: string, ...jobs: string[]): Promise<string> {
    await using program = this.start(action, ...jobs);
    return await program.succeeds();
  }

  ctl(...args: string[]): Promise<string> {
    return run(["splinterpctl", "--use", this.file(), ...args], this.path, this.#env);
  }

  async results(): Promise<Record<string, string>> {
    const { keys } = JSON.parse(await this.run("results")) as { keys: { key: string; value: string }[] };
    return Object.fromEntries(keys.map(({ key, value }) => [key, value]));
  }
}

test("consumers do each job once, those that were there and those that come, and tell how it ended", async () => {
  using queue = new Queue();
  const jobs = Array.from({ length: 6 }, (_, i) => `echo ${i} >>done`);
  const odd = [`echo "$((6 * 7))"`, "exit 3", "cat", "sleep 5"];
  await queue.run("produce", ...jobs.slice(0, 3));
  const consumers = [queue.start("consume"), queue.start("consume")];
  await using watch = queue.start("watch");
  await Promise.all([queue.run("produce", ...jobs.slice(3)), queue.run("produce", ...odd)]);
  await until(() =>
    consumers.map(({ output }) => output).join("").match(/did job/g)?.length === jobs.length + odd.length
  );
  // The watch has seen at least the job that took long.
  await watch.prints(/sleep 5/);
  await queue.run("stop");
  for (const consumer of consumers) await consumer.succeeds();
  assert.deepEqual((await run(["sort", "done"], queue.path)).split("\n"), ["0", "1", "2", "3", "4", "5", ""]);
  const results = Object.values(await queue.results()).filter((result) => result !== "");
  assert.deepEqual(results.sort(), ["42\n", "status 124\n", "status 3\n"]);
  assert.equal(await queue.ctl("--raw", "--prefix", "lock/", "list"), "");
}, PATIENCE_MS);

test("what a killed consumer was doing is done again by another", async () => {
  using queue = new Queue();
  await using victim = queue.start("consume");
  await queue.run("produce", "echo begun >>done; sleep 0.5; echo ended");
  await using watching = new Program(["sh", "-c", "until test -e done; do sleep 0.01; done"], queue.path);
  await watching.succeeds();
  await victim.kill();
  await using heir = queue.start("consume");
  await heir.prints(/did job 1/);
  await queue.run("stop");
  await heir.succeeds();
  assert.equal(await run(["cat", "done"], queue.path), "begun\nbegun\n");
  assert.deepEqual(await queue.results(), { "result/1": "ended\n" });
}, PATIENCE_MS);

test("a store that is none ends the script with a message", async () => {
  using queue = new Queue();
  await run(["sh", "-c", `echo none >${queue.file()}`], queue.path);
  await using consumer = queue.start("consume");
  assert.equal(await consumer.ended, 1);
  assert.match(consumer.output, /^jobs: .*not a store/);
}, PATIENCE_MS);
