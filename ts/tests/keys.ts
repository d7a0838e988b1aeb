import assert from "node:assert/strict";
import type { Suite } from "./suite.ts";

/** Listing, iterating and looking at slots and header. */
export function keyTests({ test, Splinter }: Suite): void {
  test("Every key is listed once", () => {
    using store = Splinter.anonymous({ slots: 3000 });
    const keys = Array.from({ length: 3000 }, (_, i) => `key/${i}`);
    for (const key of keys) store.set(key, "");
    assert.equal(store.list().length, 1000);
    assert.equal(store.list(7).length, 7);
    assert.deepEqual(store.list(0), []);
    assert.deepEqual(store.list(Infinity).sort(), keys.toSorted());
    assert.deepEqual([...store.keys()].sort(), keys.toSorted());
  });

  test("A prefix selects keys by their bytes", () => {
    using store = Splinter.anonymous();
    for (const key of ["cpu/0", "cpu/1", "cpu", "memory", "größe/a", "größe/b"]) {
      store.set(key, key);
    }
    const keys = (prefix: string) => [...store.keys({ prefix })].sort();
    assert.deepEqual(keys("cpu/"), ["cpu/0", "cpu/1"]);
    assert.deepEqual(keys("cpu"), ["cpu", "cpu/0", "cpu/1"]);
    assert.deepEqual(keys("größe/"), ["größe/a", "größe/b"]);
    assert.deepEqual(keys("nothing"), []);
    assert.deepEqual(keys("x".repeat(2000)), []);
    assert.equal(keys("").length, 6);
  });

  test("Entries pair keys with their values", () => {
    using store = Splinter.anonymous();
    store.set("a/1", "one");
    store.set("a/2", "");
    store.set("b", "other");
    const entries = [...store.entries({ prefix: "a/" })].sort(([a], [b]) => a < b ? -1 : 1);
    assert.deepEqual(entries, [["a/1", new TextEncoder().encode("one")], ["a/2", new Uint8Array(0)]]);
    assert.equal([...store.entries()].length, 3);
  });

  test("Iterators are lazy", () => {
    using store = Splinter.anonymous({ slots: 2000 });
    for (let i = 0; i < 2000; i++) store.set(`key/${i}`, i);
    const keys = store.keys();
    assert.equal(typeof keys.next().value, "string");
    for (const key of store.list(Infinity)) store.unset(key);
    // What one page held is still told, but not what a walk ahead would have.
    assert.ok([...keys].length < 1999);

    store.set("a", "old");
    const entries = store.entries();
    store.set("a", "new");
    assert.deepEqual([...entries], [["a", new TextEncoder().encode("new")]]);
  });

  test("Iterators can be used and left at any time", () => {
    using store = Splinter.anonymous();
    for (let i = 0; i < 100; i++) store.set(`key/${i}`, i);
    for (const key of store.keys()) {
      // Each step uses the memory that other calls use too.
      assert.equal(store.getJSON(key), Number(key.slice(4)));
      store.set(key, "changed");
      if (key.endsWith("7")) break;
    }
    let seen = 0;
    for (const _ of store.entries()) {
      for (const _ of store.keys({ prefix: "key/1" })) seen++;
    }
    assert.equal(seen, 100 * 11);
  });

  test("The epoch of a key grows by 2 with every change and never goes back", () => {
    using store = Splinter.anonymous({ slots: 1 });
    store.set("key", "a");
    const first = store.epoch("key");
    assert.equal(typeof first, "bigint");
    assert.ok(first !== null && first % 2n === 0n);
    store.set("key", "a");
    assert.equal(store.epoch("key"), first + 2n);
    store.unset("key");
    assert.equal(store.epoch("key"), null);
    // There is one slot, so the other key takes it over.
    store.set("other", "a");
    assert.ok((store.epoch("other") ?? 0n) >= first + 6n);
  });

  test("A slot snapshot tells what there is", () => {
    using store = Splinter.anonymous({ maxValueSize: 64 });
    store.set("key", "value");
    const slot = store.getSlotSnapshot("key");
    assert.ok(slot);
    assert.deepEqual(Object.keys(slot).sort(), [
      "epoch",
      "hash",
      "key",
      "labels",
      "pinned",
      "ttl",
      "type",
      "val_len",
      "val_off",
    ]);
    assert.equal(slot.key, "key");
    assert.equal(slot.val_len, 5);
    assert.equal(slot.epoch, store.epoch("key"));
    assert.equal(typeof slot.hash, "bigint");
    assert.ok(slot.val_off > 0n);
    assert.equal(store.getSlotSnapshot("key")?.hash, slot.hash);
  });

  test("A header snapshot tells what there is", () => {
    using store = Splinter.anonymous({ slots: 77, maxValueSize: 123 });
    const header = store.getBusHeaderSnapshot();
    assert.deepEqual(Object.keys(header).sort(), [
      "auto_vacuum",
      "epoch",
      "eviction",
      "last_failure_epoch",
      "magic",
      "max_val_sz",
      "parse_failures",
      "slots",
      "version",
    ]);
    assert.equal(header.slots, 77);
    assert.equal(header.max_val_sz, 123);
    assert.equal(header.version, 1);
    assert.ok(header.magic > 0);
    assert.equal(header.auto_vacuum, 1);
    assert.equal(header.parse_failures, 0n);
    assert.equal(header.last_failure_epoch, 0n);
    store.set("key", "value");
    assert.ok(store.getBusHeaderSnapshot().epoch > header.epoch);
  });

  test("A new store has the default shape", () => {
    using store = Splinter.anonymous();
    const header = store.getBusHeaderSnapshot();
    assert.equal(header.slots, 1024);
    assert.equal(header.max_val_sz, 4096);
    store.set("x".repeat(64), "");
    assert.throws(() => store.set("x".repeat(65), ""), { code: "KEY_TOO_LONG" });
  });

  test("Wiping is a property of the store", () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    assert.equal(store.autoVacuum, true);
    assert.equal(store.getAV(), 1);
    store.autoVacuum = false;
    assert.equal(other.autoVacuum, false);
    assert.equal(other.getAV(), 0);
    other.setAV(1);
    assert.equal(store.getAV(), 1);
    assert.equal(store.getBusHeaderSnapshot().auto_vacuum, 1);
    store.setAV(0);
    assert.equal(other.getBusHeaderSnapshot().auto_vacuum, 0);
    using throughput = Splinter.anonymous({ autoVacuum: false });
    assert.equal(throughput.autoVacuum, false);
  });
}
