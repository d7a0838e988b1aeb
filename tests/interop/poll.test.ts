/** Whoever waits for a key, in whichever runtime, is woken by a change in any other. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { PATIENCE_MS } from "../../ts/tests/suite.ts";
import { KINDS, Peers, Shared } from "./peers.ts";

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

for (const kind of KINDS) {
  for (const writer of peers.all) {
    test(`A change by ${writer.name} in ${kind} wakes all others`, async () => {
      await using _ = await Shared.make(peers, {}, kind, writer);
      const changes = [
        () => writer.set("schlüssel", "inserted"),
        () => writer.set("schlüssel", "overwritten"),
        () => writer.set("schlüssel", "overwritten"),
        () => writer.unset("schlüssel"),
        () => writer.set("schlüssel", "inserted again"),
      ];
      for (const change of changes) {
        const waiters = peers.others(writer);
        const woken = waiters.map((waiter) => waiter.poll("schlüssel"));
        await Promise.all(waiters.map((waiter) => waiter.sleeps()));
        // Once is enough.
        await change();
        assert.deepEqual(await Promise.all(woken), waiters.map(() => true));
      }
    }, 2 * PATIENCE_MS);
  }
}

test("A change of another key wakes nobody", async () => {
  await using _ = await Shared.make(peers);
  for (const writer of peers.all) {
    await writer.set("key", "");
    for (const waiter of peers.others(writer)) {
      let isAwake = false;
      const woken = waiter.poll("key").then((changed) => isAwake = changed);
      await waiter.sleeps();
      for (let i = 0; i < 20; i++) await writer.set(`other/${i}`, "");
      for (let i = 0; i < 20; i++) await writer.unset(`other/${i}`);
      assert.equal(isAwake, false);
      await writer.set("key", "");
      assert.equal(await woken, true);
    }
  }
}, 2 * PATIENCE_MS);

test("A read-only handle of any runtime waits for changes too", async () => {
  await using store = await Shared.make(peers);
  for (const waiter of peers.all) {
    await waiter.open({ ...store.opening, read_only: true });
    for (const writer of peers.others(waiter)) {
      let isAwake = false;
      const woken = waiter.poll("key").then((changed) => isAwake = changed);
      // It leaves no trace of its waiting, so that only repeated changes cannot come too early.
      for (let i = 0; !isAwake; i++) await writer.set("key", `${i}`);
      assert.equal(await woken, true);
    }
    await waiter.open(store.opening);
  }
}, 2 * PATIENCE_MS);
