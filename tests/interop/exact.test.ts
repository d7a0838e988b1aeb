/** What processes of all runtimes count together is exact: in one step each, and under a lock that they pass around. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { PATIENCE_MS } from "../../ts/tests/suite.ts";
import { Peer, Peers, type RuntimeName, RUNTIMES, Shared } from "./peers.ts";

/** How long to count instead of so many times. */
const SECONDS = process.env.SPLINTER_TEST_SECONDS;

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

/** Those of which each has a process that counts; one has two. */
const COUNTERS: RuntimeName[] = [...RUNTIMES.filter((name) => name !== "c"), "deno"];

for (const [op, times] of [["count", 20_000], ["count_locked", 500]] as const) {
  test(`Four processes that ${op} come to the sum`, async () => {
    await using store = await Shared.make(peers);
    const counters = COUNTERS.map((name) => new Peer(name));
    try {
      await Promise.all(counters.map((peer) => peer.open(store.opening)));
      const task = SECONDS === undefined ? { times } : { seconds: SECONDS };
      const key = Buffer.from("counter").toString("hex");
      const counts = await Promise.all(counters.map((peer) => peer.ask<number>(op, { key, ...task })));
      const sum = counts.reduce((sum, count) => sum + count, 0);
      assert.ok(counts.every((count) => count > 0), `${counts}`);
      const value = await peers.agree((peer) => peer.get("counter"));
      assert.equal(value?.readBigUInt64LE(), BigInt(sum));
      assert.equal(await peers.agree((peer) => peer.has("lock")), false);
    } finally {
      await Promise.all(counters.map((peer) => peer[Symbol.asyncDispose]()));
    }
  }, 4 * PATIENCE_MS + Number(SECONDS ?? 0) * 1000);
}

for (const runtime of COUNTERS.slice(0, 3)) {
  test(`A lock whose holder in ${runtime} is killed is free when its time is up`, async () => {
    await using store = await Shared.make(peers);
    const ttl_ms = 300;
    {
      await using holder = new Peer(runtime);
      await holder.open(store.opening);
      assert.equal(await holder.ask("lock", { ttl_ms }), true);
      await holder.kill();
    }
    const [first, ...others] = COUNTERS.slice(0, 3).map((name) => peers.of(name));
    const key = Buffer.from("counter").toString("hex");
    // It waits for the lock.
    assert.equal(await first.ask("count_locked", { key, times: 1 }), 1);
    for (const other of others) assert.equal(await other.ask("count_locked", { key, times: 1 }), 1);
    assert.equal((await peers.agree((peer) => peer.get("counter")))?.readBigUInt64LE(), 3n);
  }, 2 * PATIENCE_MS);
}
