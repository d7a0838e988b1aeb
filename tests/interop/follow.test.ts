/** Whoever follows all changes, in whichever runtime, is told of each of them, or how many it was not told of. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import process from "node:process";
import { PATIENCE_MS } from "../../ts/tests/suite.ts";
import { Peer, Peers, RUNTIMES, Shared } from "./peers.ts";

/** How many changes one process makes at full speed. */
const CHANGES = Number(process.env.SPLINTER_INTEROP_CHANGES ?? 300_000);
/** How many processes of each runtime are killed. */
const KILLS = Number(process.env.SPLINTER_INTEROP_KILLS ?? 24);

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

interface Followed {
  received: number;
  lost: number;
  vanished: number;
  present: [key: string, epoch: number][];
  faults: string[];
}

/** A store at a moment: how many changes there were, and the epochs of its keys. */
interface Moment {
  changes: number;
  epochs: Map<string, number>;
}

async function now(observer: Peer): Promise<Moment> {
  const { epoch } = await observer.header();
  const list = await observer.list();
  return { changes: Number(epoch), epochs: new Map(list.map(([key, epoch]) => [key, Number(epoch)])) };
}

/** Has every peer follow all changes from a moment on. */
function follow(from: Moment, churned = false): Promise<Followed[]> {
  return Promise.all(peers.all.map((peer) => peer.ask<Followed>("follow", { from: from.changes, churned })));
}

/** Has the followers stop, and checks what they were told of since that moment. */
async function check(followed: Promise<Followed[]>, from: Moment, observer: Peer): Promise<Followed[]> {
  const last = Number((await observer.header()).epoch);
  await observer.set("end", `${last + 1}`);
  const { changes, epochs } = await now(observer);
  assert.equal(changes, last + 1);
  const changed = Array.from(epochs).filter(([key, epoch]) => from.epochs.get(key) !== epoch);
  for (const [i, { received, lost, faults, present }] of (await followed).entries()) {
    const { name } = peers.all[i];
    assert.deepEqual(faults, [], name);
    assert.equal(received + lost, changes - from.changes, name);
    // Of each key that was changed the last state, and of no key another.
    const known = new Map(present);
    for (const [key, epoch] of known) assert.equal(epoch, epochs.get(key), `${key} in ${name}`);
    for (const [key, epoch] of changed) assert.equal(known.get(key), epoch, `${key} in ${name}`);
  }
  await observer.unset("end");
  return await followed;
}

for (const [journal, what] of [[64, "a tiny"], [4096, "a small"], [2 ** 20, "a large"]] as const) {
  test(`Of ${CHANGES} changes at full speed all are told or counted as lost, with ${what} journal`, async () => {
    await using store = await Shared.make(peers, { slots: 70, max_value_bytes: 16, journal_entries: journal });
    await using writer = new Peer("rust");
    await writer.open(store.opening);
    // So that places in the journal and numbers of changes are not the same.
    for (let i = 0; i < 100; i++) await writer.set("before", `${i}`);
    await writer.unset("before");
    const from = await now(writer);
    const followed = follow(from, true);
    await writer.ask("churn", { changes: CHANGES });
    const all = await check(followed, from, writer);
    const changes = CHANGES + 1;
    assert.deepEqual(all.map(({ received, lost }) => received + lost), all.map(() => changes));
    if (changes < journal) assert.deepEqual(all.map(({ lost }) => lost), all.map(() => 0));
    const sums = all.map(({ received, lost }, i) => `${peers.all[i].name} ${received} + ${lost}`);
    console.log(`received + lost: ${sums.join(", ")}`);
  }, 4 * PATIENCE_MS + CHANGES / 10);
}

for (const runtime of RUNTIMES) {
  test(`Who follows goes on when a ${runtime} process is killed in the middle of a write`, async () => {
    await using store = await Shared.make(peers, { slots: 4, max_value_bytes: 90_000, journal_entries: 4096 });
    await using observer = new Peer("rust");
    await observer.open(store.opening);
    await observer.set("stay", "");
    // Started in time, because starting takes longer than what is done with them.
    const victims = Array.from({ length: 3 }, () => new Peer(runtime));
    for (let kill = 0; kill < KILLS; kill++) {
      await using victim = victims.shift();
      assert.ok(victim);
      if (kill + victims.length + 1 < KILLS) victims.push(new Peer(runtime));
      await victim.open(store.opening);
      const from = await now(observer);
      const followed = follow(from);
      const death = assert.rejects(victim.ask("hammer"), /died before/);
      await observer.ask("inspect", { changes: 2 + kill % 10 });
      await victim.kill();
      await death;
      // What it left undone is done now, and told.
      await observer.set("stay", "");
      await observer.set("come", "");
      await observer.unset("come");
      await check(followed, from, observer);
    }
    assert.equal((await observer.header()).parse_failures, "0");
  }, 4 * PATIENCE_MS + KILLS * 1000);

  test(`A ${runtime} process killed while it follows costs nobody anything`, async () => {
    await using store = await Shared.make(peers, { slots: 70, max_value_bytes: 16, journal_entries: 256 });
    await using writer = new Peer("rust");
    await writer.open(store.opening);
    const victims = Array.from({ length: 3 }, () => new Peer(runtime));
    for (let kill = 0; kill < KILLS; kill++) {
      await using victim = victims.shift();
      assert.ok(victim);
      if (kill + victims.length + 1 < KILLS) victims.push(new Peer(runtime));
      await victim.open(store.opening);
      const { changes } = await now(writer);
      const death = assert.rejects(victim.ask("follow", { from: changes }), /died before/);
      // Sooner or later, in the middle of its work.
      await writer.ask("churn", { changes: 100 });
      const churned = writer.ask("churn", { changes: kill * 2000 });
      await victim.kill();
      await death;
      await churned;
      const from = await now(writer);
      await check(follow(from), from, writer);
    }
  }, 4 * PATIENCE_MS + KILLS * 1000);
}
