import assert from "node:assert/strict";
import { InvalidArgumentError } from "../errors.ts";
import type { Store } from "../store.ts";
import type { Change, ChangesOptions, Watch } from "../types.ts";
import { type Suite, take, takeOne, turn } from "./suite.ts";

/** Following all changes of a store. */
export function changeTests({ test, Splinter }: Suite): void {
  test("Every change is told by itself, in order", async () => {
    using store = Splinter.anonymous();
    using changes = store.changes();
    for (const key of ["a", "größe", "a", "a"]) store.set(key, "");
    assert.deepEqual(await take(changes, 4), [
      { kind: "set", seq: 0n, key: "a", epoch: 2n },
      { kind: "set", seq: 1n, key: "größe", epoch: 2n },
      { kind: "set", seq: 2n, key: "a", epoch: 4n },
      { kind: "set", seq: 3n, key: "a", epoch: 6n },
    ]);
    store.unset("a");
    assert.deepEqual(await takeOne(changes), { kind: "unset", seq: 4n, key: "a", epoch: 8n });
  });

  test("Thousands of changes are told, none twice and none left out", async () => {
    using store = Splinter.anonymous({ journal: 1 << 14 });
    using changes = store.changes();
    for (let i = 0; i < 10_000; i++) store.set(`a rather long key/${i % 100}`, i);
    const items = await take(changes, 10_000);
    items.forEach((item, i) => {
      assert.deepEqual(item, {
        kind: "set",
        seq: BigInt(i),
        key: `a rather long key/${i % 100}`,
        epoch: 2n + 2n * BigInt(Math.floor(i / 100)),
      });
    });
  });

  test("A key that is gone before it was read has vanished, name and all", async () => {
    using store = Splinter.anonymous();
    store.set("key", "");
    store.unset("key");
    store.set("other", "");
    using changes = store.changes({ from: 0n });
    assert.deepEqual(await take(changes, 3), [
      { kind: "vanished", seq: 0n },
      { kind: "vanished", seq: 1n },
      { kind: "set", seq: 2n, key: "other", epoch: store.epoch("other") },
    ]);
  });

  test("Changes go on from any place", async () => {
    using store = Splinter.anonymous();
    for (let i = 0; i < 10; i++) store.set(`key/${i}`, i);
    for (let from = 0; from <= 10; from++) {
      using changes = store.changes({ from: BigInt(from) });
      const items = await take(changes, 10 - from);
      assert.deepEqual(items.map(({ seq }) => seq), Array.from({ length: 10 - from }, (_, i) => BigInt(from + i)));
    }
    assert.throws(() => store.changes({ from: 12n }), InvalidArgumentError);
    assert.throws(() => store.changes({ from: -1n }), InvalidArgumentError);
    assert.throws(() => store.changes({ from: 1 as unknown as bigint }), InvalidArgumentError);
    assert.throws(() => store.changes({ signal: 1 } as unknown as ChangesOptions), InvalidArgumentError);
  });

  test("What the store has forgotten is told as lost, with the state after it, and adds up exactly", async () => {
    using store = Splinter.anonymous({ slots: 100, journal: 64 });
    using changes = store.changes();
    const ledger = new Ledger(store, changes);
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 1000; i++) store.set(`key/${i % 50}`, i);
      for (let i = 0; i < 10; i++) store.unset(`key/${i}`);
      await ledger.balance();
    }
    assert.ok(ledger.lost > 0n);
    assert.equal(ledger.received + ledger.lost, 5050n);
    // Once it keeps up, nothing is lost any more.
    const { lost } = ledger;
    for (let i = 0; i < 200; i++) {
      store.set(`key/${i % 50}`, i);
      await ledger.balance();
    }
    assert.equal(ledger.lost, lost);
  });

  test("After a loss one goes on from its place, and loses nothing more by that", async () => {
    using store = Splinter.anonymous({ journal: 64 });
    for (let i = 0; i < 500; i++) store.set(`key/${i % 5}`, i);
    using first = store.changes({ from: 100n });
    const lost = await takeOne(first);
    assert.ok(lost.kind === "lost");
    assert.equal(lost.seq, 100n);
    const current = await takeOne(first);
    assert.ok(current.kind === "current");
    assert.equal(current.seq, 100n);
    first[Symbol.dispose]();
    using second = store.changes({ from: current.seq });
    const again = await takeOne(second);
    assert.deepEqual(again, lost);
    const states = await take(second, 5);
    assert.deepEqual(states.map((item) => item.kind), Array(5).fill("current"));
    assert.deepEqual(
      new Map(states.map((item) => [keyOf(item), epochOf(item)])),
      new Map(store.list().map((key) => [key, store.epoch(key)])),
    );
    store.set("other", "");
    const rest = await take(second, 401 - Number(lost.count));
    assert.equal(rest.at(-1)?.seq, 500n);
  });

  test("Changes that nobody reads cost nothing, and are lost in the end", async () => {
    using store = Splinter.anonymous({ journal: 64 });
    using _unread = store.changes();
    for (let i = 0; i < 20_000; i++) store.set("key", i);
    using read = store.changes();
    store.set("key", "");
    assert.deepEqual((await takeOne(read)).seq, 20_000n);
  });
}

/** Keeps count of what it takes. */
class Ledger {
  received = 0n;
  lost = 0n;
  readonly #epochs = new Map<string, bigint>();

  constructor(readonly store: Store, readonly changes: Watch<Change>) {}

  /** Takes items until they are all there are, and checks that they lead to what the store holds. */
  async balance(): Promise<void> {
    const end = this.store.getBusHeaderSnapshot().epoch;
    for (let next = this.received + this.lost; next < end;) {
      const item = await takeOne(this.changes);
      assert.equal(item.seq, next, item.kind);
      if (item.kind === "lost") {
        this.lost += item.count;
        this.#epochs.clear();
        next += item.count;
        await this.#takeStates(item.seq);
      } else {
        this.received++;
        next++;
        if (item.kind === "set") this.#epochs.set(item.key, item.epoch);
        else if (item.kind === "unset") this.#epochs.delete(item.key);
        else assert.equal(item.kind, "vanished");
      }
    }
    assert.deepEqual(this.#epochs, new Map(this.store.list().map((key) => [key, this.store.epoch(key)])));
    await turn();
  }

  async #takeStates(seq: bigint): Promise<void> {
    for (let missing = this.store.list().length; missing > 0; missing--) {
      const item = await takeOne(this.changes);
      assert.ok(item.kind === "current", item.kind);
      assert.equal(item.seq, seq);
      this.#epochs.set(item.key, item.epoch);
    }
  }
}

function keyOf(item: Change): string | null {
  return "key" in item ? item.key : null;
}

function epochOf(item: Change): bigint | null {
  return "epoch" in item ? item.epoch : null;
}
