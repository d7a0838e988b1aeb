/** The lock: one holder at a time, whoever is killed, suspended or in a hurry. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { Splinter } from "splinter-bus";
import { Lease } from "../../examples/lock/lease.ts";
import { PATIENCE_MS, TempDir } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { bun, deno } from "./program.ts";

/** How long a worker works, if nothing happens to it. */
const SECONDS = "0.5";

const WORKERS = {
  bun: (...args: string[]) => bun("lock/worker.ts", ...args, SECONDS),
  deno: (...args: string[]) => deno([], "lock/worker.ts", ...args, SECONDS),
};

async function tokenOf(worker: Program): Promise<bigint> {
  return BigInt((await worker.prints(/has the lock, token (\d+)/))[1]);
}

for (const [holder, heir] of [["bun", "deno"], ["deno", "bun"]] as const) {
  test(`when a holder in ${holder} is killed, one in ${heir} gets the lock, with a greater token`, async () => {
    using directory = new TempDir();
    await using first = new Program(WORKERS[holder](directory.file(), "first"), directory.path);
    const token = await tokenOf(first);
    await using second = new Program(WORKERS[heir](directory.file(), "second"), directory.path);
    await first.kill();
    assert.ok(await tokenOf(second) > token);
    assert.match(await second.succeeds(), /second is done/);
  }, PATIENCE_MS);
}

test("a holder that was suspended for too long is refused, because another has written", async () => {
  using directory = new TempDir();
  await using first = new Program(WORKERS.bun(directory.file(), "first"), directory.path);
  await tokenOf(first);
  first.signal("SIGSTOP");
  await using second = new Program(WORKERS.bun(directory.file(), "second"), directory.path);
  await second.prints(/second is done/);
  using store = Splinter.open(directory.file());
  const work = store.getString("work");
  first.signal("SIGCONT");
  assert.match(await first.succeeds(), /first was refused/);
  assert.equal(store.getString("work"), work);
}, PATIENCE_MS);

test("a release is followed by the next holder at once, and never are there two", async () => {
  const rounds = 300;
  using directory = new TempDir();
  using store = Splinter.create(directory.file());
  const script = "../tests/examples/contender.ts";
  const contenders = [bun(script, directory.file(), `${rounds}`), deno([], script, directory.file(), `${rounds}`)]
    .map((command) => new Program(command, directory.path));
  for (const contender of contenders) await contender.succeeds();
  assert.deepEqual([store.getBigInt("taken"), store.has("lock")], [BigInt(2 * rounds), false]);
}, 2 * PATIENCE_MS);

test("what is not held any more cannot be renewed or released, and what is waited for can be given up", async () => {
  using store = Splinter.anonymous();
  const lost = await Lease.acquire(store, "lock", "first", 1);
  const held = await Lease.acquire(store, "lock", "second", 10 * PATIENCE_MS);
  assert.deepEqual([lost.renew(), lost.release(), held.renew()], [false, false, true]);
  await assert.rejects(Lease.acquire(store, "lock", "third", 1, AbortSignal.timeout(1)), { name: "TimeoutError" });
  assert.deepEqual([held.release(), held.release()], [true, false]);
}, PATIENCE_MS);
