/** A process of any runtime that dies or stands still while it writes leaves whole values to all others. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { ERROR_NUMBERS } from "../../ts/errors.ts";
import { isUniform, PATIENCE_MS } from "../../ts/tests/suite.ts";
import { errorOf, Peer, Peers, type RuntimeName, RUNTIMES, Shared } from "./peers.ts";

/** How many processes of each runtime are killed. */
const KILLS = Number(process.env.SPLINTER_INTEROP_KILLS ?? 24);

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

/** The byte of which the hammering ones make a log. */
const LOGGED = 7;

/** A value that is seen to be whole, as the hammering ones are. */
const uniform = (length: number) => new Uint8Array(length).fill(length);

for (const runtime of RUNTIMES) {
  test(`A ${runtime} process killed in the middle of a write disturbs nobody`, async () => {
    await using store = await Shared.make(peers, { slots: 4, max_value_bytes: 90_000 });
    await peers.all[0].set("stay", "");
    // Started in time, because starting takes longer than what is done with them.
    const victims = Array.from({ length: 3 }, () => new Peer(runtime));
    const rust = peers.of("rust");
    const repairs = async () => BigInt(await rust.ask<string>("repairs"));
    const repairsBefore = await repairs();
    let last = 0n;
    for (let kill = 0; kill < KILLS; kill++) {
      await using victim = victims.shift();
      assert.ok(victim);
      if (kill + victims.length + 1 < KILLS) victims.push(new Peer(runtime));
      await victim.open(store.opening);
      const death = assert.rejects(victim.ask("hammer"), /died before/);
      const changes = 2 + kill % 10;
      const seen = await Promise.all(peers.all.map((peer) => peer.ask("inspect", { changes })));
      await victim.kill();
      await death;
      assert.deepEqual(seen, peers.all.map(() => ({ bad: 0, changes })));

      // Whole for all, and the same for all.
      assert.ok(isUniform(await peers.agree((peer) => peer.get("stay"))));
      const come = await peers.agree((peer) => peer.get("come"));
      assert.ok(come === null || isUniform(come));
      const epoch = await peers.agree((peer) => peer.epoch("stay"));
      assert.ok(epoch !== null && epoch > last);

      // Each in turn is the first to write where the dead one wrote.
      for (let i = 0; i < peers.all.length; i++) {
        const writer = peers.all[(kill + i) % peers.all.length];
        const value = uniform(1000 + i);
        await writer.set("stay", value);
        await writer.set("come", value);
        assert.deepEqual(await peers.agree((peer) => peer.keys()), ["come", "stay"]);
        for (const key of ["come", "stay"]) {
          assert.deepEqual(await peers.agree((peer) => peer.get(key)), Buffer.from(value));
        }
        assert.equal(await writer.unset("come"), value.length);
        assert.deepEqual(await peers.agree((peer) => peer.keys()), ["stay"]);
      }
      last = await peers.agree((peer) => peer.epoch("stay")) ?? 0n;
      assert.equal(last % 2n, 0n);
      assert.ok(last > epoch);
    }
    // Every slot can be used, after all this.
    for (let i = 0; i < 3; i++) await peers.all[i].set(`new/${i}`, "");
    assert.equal((await peers.agree((peer) => peer.keys())).length, 4);
    assert.equal((await peers.agree((peer) => peer.header())).parse_failures, "0");
    const repaired = await repairs() - repairsBefore;
    assert.ok(repaired > 0n, "no kill met a write");
    console.log(`tried: ${KILLS} kills of ${runtime} processes`);
    console.log(`tried: ${repaired} kills in a lock`);
  }, 4 * PATIENCE_MS + KILLS * 1000);

  test(`A ${runtime} process stopped in the middle of a write keeps its turn and holds up no reader`, async () => {
    await using store = await Shared.make(peers, { slots: 4, max_value_bytes: 90_000 });
    await peers.all[0].set("stay", "");
    await peers.all[0].set("other", "");
    await using victim = new Peer(runtime);
    await victim.open(store.opening);
    const death = assert.rejects(victim.ask("hammer"), /died before/);
    const isBusy = async (peer: Peer) => await errorOf(peer.trySet("stay", uniform(5))) === ERROR_NUMBERS.BUSY;
    do {
      victim.continue();
      await peers.all[0].ask("inspect", { changes: 2 });
      await victim.stop();
    } while (!await isBusy(peers.all[0]));

    for (const peer of peers.all) {
      assert.ok(await isBusy(peer));
      assert.equal(await errorOf(peer.tryUnset("stay")), ERROR_NUMBERS.BUSY);
      assert.ok(isUniform(await peer.get("stay")));
      await peer.set("other", peer.name);
      assert.equal((await peers.agree((peer) => peer.get("other")))?.toString(), peer.name);
    }
    const epoch = await peers.agree((peer) => peer.epoch("stay"));

    victim.continue();
    const changes = 5;
    const seen = await Promise.all(peers.all.map((peer) => peer.ask("inspect", { changes })));
    assert.deepEqual(seen, peers.all.map(() => ({ bad: 0, changes })));
    await victim.kill();
    await death;
    const last = await peers.agree((peer) => peer.epoch("stay"));
    assert.ok(epoch !== null && last !== null && last > epoch);
  }, 2 * PATIENCE_MS);
}

test("Processes of all runtimes that write at once and are killed at random leave whole values to all", async () => {
  await using store = await Shared.make(peers, { slots: 4, max_value_bytes: 20_000 });
  await peers.all[0].set("stay", "");
  const rust = peers.of("rust");
  const repairs = async () => BigInt(await rust.ask<string>("repairs"));
  const repairsBefore = await repairs();
  const start = async (runtime: RuntimeName) => {
    const peer = new Peer(runtime);
    await peer.open(store.opening);
    return { peer, death: assert.rejects(peer.ask("hammer_more"), /died before/) };
  };
  const writers = await Promise.all(RUNTIMES.map(start));
  try {
    for (let kill = 0; kill < KILLS; kill++) {
      const changes = 2 + kill % 10;
      const seen = await Promise.all(peers.all.map((peer) => peer.ask("inspect", { changes })));
      assert.deepEqual(seen, peers.all.map(() => ({ bad: 0, changes })));
      const { peer, death } = writers[kill % writers.length];
      await peer.kill();
      await death;
      writers[kill % writers.length] = await start(peer.name);
    }
    const repaired = await repairs() - repairsBefore;
    console.log(`tried: ${KILLS} kills of one of several writers`);
    console.log(`tried: ${repaired} kills in a lock`);
  } finally {
    for (const { peer, death } of writers) {
      await peer.kill();
      await death;
    }
  }
  const count = await peers.agree((peer) => peer.get("count"));
  assert.ok(count !== null && count.length === 8 && count.readBigUInt64LE() > 0n);
  const log = await peers.agree((peer) => peer.get("log"));
  assert.ok(log !== null && log.every((byte) => byte === LOGGED));
  // Nothing is left locked or half done.
  for (const peer of peers.all) {
    for (const key of ["stay", "come", "count", "log"]) await peer.set(key, uniform(9));
  }
  assert.equal((await peers.agree((peer) => peer.keys())).length, 4);
  assert.equal((await peers.agree((peer) => peer.header())).parse_failures, "0");
}, 4 * PATIENCE_MS + KILLS * 2000);
