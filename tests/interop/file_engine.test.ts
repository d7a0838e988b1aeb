/** Processes of every runtime and the engine without native code, on one store. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Splinter } from "../../ts/bun/mod.ts";
import { ERROR_NUMBERS } from "../../ts/errors.ts";
import { isUniform, PATIENCE_MS, turn } from "../../ts/tests/suite.ts";
import { errorOf, Peer, Peers, RUNTIMES, Shared } from "./peers.ts";

const SECONDS = Number(process.env.SPLINTER_TEST_SECONDS ?? 0.5);

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

/** Reads what is hammered, without native code. */
const reading = { engine: "file", readOnly: true, lockTimeoutMs: PATIENCE_MS } as const;

for (const runtime of RUNTIMES) {
  test(`The engine "file" reads whole values, and misses none, while ${runtime} hammers them`, async () => {
    await using store = await Shared.make(peers, { slots: 4, max_value_bytes: 10_000 });
    await peers.all[0].set("stay", "");
    using reader = Splinter.open(store.path, reading);
    await using writer = new Peer(runtime);
    await writer.open(store.opening);
    const death = assert.rejects(writer.ask("hammer"), /died before/);
    const epochs = new Set<bigint | undefined>();
    const end = performance.now() + 1000 * SECONDS;
    const late = performance.now() + PATIENCE_MS;
    let reads = 0;
    let last = 0n;
    for (; (performance.now() < end || epochs.size < 50) && performance.now() < late; reads++) {
      // The writer hears of its task meanwhile.
      if (reads % 64 === 0) await turn();
      const entry = reader.getEntry("stay");
      assert.ok(entry !== null && isUniform(entry.value));
      assert.ok(entry.epoch >> 1n >= last, "it went back");
      last = entry.epoch >> 1n;
      epochs.add(entry.epoch);
      const come = reader.get("come");
      assert.ok(come === null || isUniform(come));
      assert.ok(reader.has("stay"));
    }
    await writer.kill();
    await death;
    assert.ok(epochs.size >= 50, `${epochs.size} states in ${reads} reads`);
    console.log(`tried: ${reads} reads beside a hammering ${runtime} process`);
  }, 3 * PATIENCE_MS);
}

test('While a process writes by the engine "file", those of all runtimes read and do not write', async () => {
  await using store = await Shared.make(peers, { slots: 8, max_value_bytes: 2000 });
  await peers.all[0].set("stay", "");
  await Promise.all(peers.all.map((peer) => peer.ask("close")));
  await using alone = writer(store.path);
  await alone.started;
  for (const peer of peers.all) assert.equal(await errorOf(peer.open(store.opening)), ERROR_NUMBERS.BUSY);
  await Promise.all(peers.all.map((peer) => peer.open({ ...store.opening, read_only: true })));
  const changes = 20;
  const seen = await Promise.all(peers.all.map((peer) => peer.ask("inspect", { changes })));
  assert.deepEqual(seen, peers.all.map(() => ({ bad: 0, changes })));
  await alone[Symbol.asyncDispose]();
  // It was killed.
  await Promise.all(peers.all.map((peer) => peer.open(store.opening)));
  for (const peer of peers.all) {
    await peer.set("stay", peer.name);
    assert.equal((await peers.agree((other) => other.get("stay")))?.toString(), peer.name);
  }
}, 3 * PATIENCE_MS);

/** A process that writes by the engine "file" until it is killed. */
function writer(path: string): AsyncDisposable & { started: Promise<void> } {
  const program = fileURLToPath(new URL("../../node_modules/.bin/deno", import.meta.url));
  const script = fileURLToPath(new URL("../../ts/tests/file_writer.ts", import.meta.url));
  const module = new URL("../../ts/deno/mod.ts", import.meta.url).href;
  const args = ["run", "--quiet", "--allow-all", script, module, path];
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const started = new Promise<void>((resolve) =>
    createInterface({ input: child.stdout }).once("line", () => resolve())
  );
  return {
    started,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
