import assert from "node:assert/strict";
import {
  BusyError,
  ClosedError,
  FullError,
  InvalidArgumentError,
  KeyInvalidError,
  KeyTooLongError,
  OverflowError,
  PermissionError,
  SplinterError,
  ValueTooLargeError,
  WrongTypeError,
} from "../errors.ts";
import type { Store } from "../store.ts";
import type { SetOptions, StoreValue, ValueType, WriteCondition } from "../types.ts";
import { pattern, type Suite, TempDir } from "./suite.ts";

/** Writes on conditions, times to live, eviction, numbers, appends and batches. */
export function operationTests({ test, Splinter }: Suite): void {
  test("A write on a condition happens if that holds, and tells what it found if not", () => {
    using store = Splinter.anonymous({ maxValueSize: 100_000 });
    for (const value of ["text", pattern(5), { json: true }, 7n, pattern(70_000), "é".repeat(40_000)]) {
      assert.deepEqual(store.set("key", value, { ifPresent: true }), { ok: false, epoch: null });
      assert.deepEqual(store.set("key", value, { ifEpoch: 2n }), { ok: false, epoch: null });
      assert.equal(store.has("key"), false);
      const made = store.set("key", value, { ifAbsent: true });
      assert.deepEqual(made, { ok: true, epoch: store.epoch("key") });
      const bytes = store.getRaw("key");
      for (const condition of [{ ifAbsent: true }, { ifEpoch: null }, { ifEpoch: (made.epoch ?? 0n) + 2n }]) {
        assert.deepEqual(store.set("key", "other", condition), { ok: false, epoch: made.epoch });
        assert.deepEqual(store.getRaw("key"), bytes);
      }
      assert.ok(store.set("key", value, { ifEpoch: made.epoch }).ok);
      assert.ok(store.set("key", value, { ifPresent: true }).ok);
      assert.deepEqual(store.getRaw("key"), bytes);
      store.unset("key");
    }
    assert.ok(store.set("key", "a", { ifEpoch: null }).ok);
  });

  test("A deletion on a condition happens if that holds", () => {
    using store = Splinter.anonymous();
    store.set("key", "value");
    const epoch = store.epoch("key");
    assert.ok(epoch !== null);
    assert.deepEqual(store.unset("key", { ifEpoch: epoch + 2n }), { ok: false, epoch });
    assert.equal(store.has("key"), true);
    const gone = store.unset("key", { ifEpoch: epoch });
    assert.ok(gone.ok && gone.epoch > epoch);
    assert.deepEqual(store.unset("key", { ifEpoch: epoch }), { ok: false, epoch: null });
  });

  test("What no condition can be is told", () => {
    using store = Splinter.anonymous();
    const wrong: unknown[] = [
      { ifEpoch: 2 },
      { ifEpoch: -1n },
      { ifEpoch: 1n << 64n },
      { ifAbsent: "yes" },
      { ifPresent: 1 },
      { ifAbsent: true, ifPresent: true },
      { ifAbsent: true, ifEpoch: 2n },
      { ttlMs: 0 },
      { ttlMs: -1 },
      { ttlMs: NaN },
      { ttlMs: Infinity },
      { ttlMs: "1" },
      { ttlMs: 1, keepTtl: true },
      { keepTtl: 1 },
      { type: "picture" },
    ];
    for (const options of wrong) {
      assert.throws(() => store.set("key", "value", options as SetOptions & WriteCondition), InvalidArgumentError);
    }
    assert.throws(() => store.unset("key", { ifEpoch: 2 as unknown as bigint }), InvalidArgumentError);
    assert.equal(store.has("key"), false);
    const loose: { ifAbsent: boolean } = { ifAbsent: false };
    // No condition, and so no result.
    assert.equal(store.set("key", "value", loose), undefined);
    assert.throws(() => store.set("key", "x".repeat(4097), { ifAbsent: true }), ValueTooLargeError);
    assert.throws(() => store.set("key", pattern(4097), { ifAbsent: true }), ValueTooLargeError);
    assert.throws(() => store.set("", "value", { ifAbsent: true }), KeyInvalidError);
  });

  test("An entry is a value and what belongs to it", () => {
    using store = Splinter.anonymous({ maxValueSize: 100_000 });
    assert.equal(store.getEntry("key"), null);
    for (const size of [0, 1, 64, 4096, 65_536, 65_537, 100_000]) {
      store.set("key", pattern(size), { type: "image" });
      assert.deepEqual(store.getEntry("key"), { value: pattern(size), epoch: store.epoch("key"), type: "image" });
    }
  });

  test("An update is done on what is there, and leaves what it is told to leave", () => {
    using store = Splinter.anonymous({ lockTimeoutMs: 20 });
    const text = new TextDecoder();
    assert.equal(store.update("key", (value) => value === null ? undefined : "never"), null);
    assert.equal(store.update("key", (value) => value === null ? "a" : "never"), store.epoch("key"));
    store.expire("key", 100_000);
    store.update("key", (value) => text.decode(value!) + "b");
    assert.equal(store.getString("key"), "ab");
    assert.ok((store.ttl("key") ?? 0) < 100_001);
    assert.throws(() =>
      store.update("key", () => {
        throw new RangeError("mine");
      }), RangeError);
    // Somebody comes in between, once.
    let calls = 0;
    store.update("key", (value) => {
      if (calls++ === 0) store.set("key", "c");
      return text.decode(value!) + "d";
    });
    assert.deepEqual([calls, store.getString("key")], [2, "cd"]);
    // Somebody comes in between for ever.
    const never = () => store.update("key", () => (store.set("key", "e"), "f"));
    assert.throws(never, { name: "BusyError", message: /"key"/ });
    assert.throws(() => store.update("key", "value" as unknown as () => string), InvalidArgumentError);
    assert.ok(new BusyError("") instanceof SplinterError);
  });

  test("A key lives as long as it was given", () => {
    using store = Splinter.anonymous();
    assert.deepEqual([store.ttl("key"), store.expire("key", 1000), store.persist("key")], [null, false, false]);
    store.set("key", "value");
    assert.deepEqual([store.ttl("key"), store.persist("key")], [Infinity, false]);
    const epoch = store.epoch("key");
    assert.equal(store.expire("key", 60_000), true);
    assert.equal(store.epoch("key"), epoch);
    const left = store.ttl("key") ?? 0;
    assert.ok(left > 0 && left <= 60_000);
    assert.equal(store.getSlotSnapshot("key")?.ttl !== Infinity, true);
    store.set("key", "other", { keepTtl: true });
    assert.ok(store.ttl("key")! <= 60_000);
    assert.equal(store.persist("key"), true);
    assert.equal(store.ttl("key"), Infinity);
    store.set("key", "value", { ttlMs: 2 ** 40 });
    assert.ok(store.ttl("key")! > 2 ** 39 && store.ttl("key")! <= 2 ** 40);
    store.set("key", "value");
    assert.equal(store.ttl("key"), Infinity);
    for (const wrong of [0, -1, NaN, Infinity, "1", 2 ** 60]) {
      assert.throws(() => store.expire("key", wrong as number), InvalidArgumentError);
    }
  });

  test("A key whose time is up is gone, and is swept", () => {
    using store = Splinter.anonymous();
    store.set("stays", "value");
    store.set("goes", "value", { ttlMs: 0.5 });
    store.set("goes too", "value", { ttlMs: 1 });
    while (store.has("goes") || store.has("goes too"));
    for (const key of ["goes", "goes too"]) {
      assert.deepEqual(
        [store.getRaw(key), store.getEntry(key), store.ttl(key), store.epoch(key), store.view(key, () => 1)],
        Array(5).fill(null),
      );
      assert.deepEqual([store.expire(key, 1000), store.pin(key), store.key(key).has()], [false, false, false]);
    }
    assert.deepEqual(store.list(), ["stays"]);
    assert.ok(store.set("goes", "again", { ifAbsent: true }).ok);
    store.sweep();
    assert.equal(store.sweep(), 0);
    assert.deepEqual(store.list().sort(), ["goes", "stays"]);
  });

  test("A full store does as its policy says, and spares what is pinned", () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file(), { slots: 4, eviction: "lru" });
    assert.equal(store.eviction, "lru");
    assert.equal(store.getBusHeaderSnapshot().eviction, "lru");
    store.set("pinned", "value");
    assert.equal(store.pin("pinned"), true);
    assert.equal(store.getSlotSnapshot("pinned")?.pinned, true);
    for (let i = 0; i < 100; i++) store.set(`key/${i}`, "value");
    assert.equal(store.has("pinned"), true);
    assert.equal(store.has("key/99"), true);
    assert.equal(store.list().length, 4);
    // One that exists keeps its own.
    using other = Splinter.openOrCreate(dir.file(), { eviction: "none" });
    assert.equal(other.eviction, "lru");
    other.eviction = "none";
    assert.equal(store.eviction, "none");
    assert.throws(() => store.set("new", "value"), FullError);
    store.eviction = "ttl";
    assert.throws(() => store.set("new", "value"), FullError);
    store.expire("key/99", 100_000);
    store.set("new", "value");
    assert.equal(store.has("key/99"), false);
    assert.equal(store.pin("missing"), false);
    assert.equal(store.pin("pinned", false), true);
    assert.equal(store.getSlotSnapshot("pinned")?.pinned, false);
    assert.throws(() => store.eviction = "fifo" as "lru", InvalidArgumentError);
    assert.throws(() => Splinter.anonymous({ eviction: "fifo" as "lru" }), InvalidArgumentError);
    assert.throws(() => store.pin("pinned", 1 as unknown as boolean), InvalidArgumentError);
  });

  test("Numbers are changed as one step each, and stored as they are told", () => {
    using store = Splinter.anonymous();
    const max = 2n ** 64n - 1n;
    assert.equal(store.add("n", 5), 5n);
    assert.equal(store.add("n", 5n), 10n);
    assert.equal(store.sub("n", 11), max);
    assert.equal(store.and("n", 0xff), 0xffn);
    assert.equal(store.or("n", 0x100), 0x1ffn);
    assert.equal(store.xor("n", 1), 0x1fen);
    assert.equal(store.not("n"), max - 0x1fen);
    assert.deepEqual(store.getRaw("n"), new Uint8Array(BigUint64Array.of(max - 0x1fen).buffer));
    assert.equal(store.getEntry("n")?.type, "biguint");
    assert.equal(store.sub("signed", 5, { signed: true }), -5n);
    assert.equal(store.add("signed", -5n, { signed: true }), -10n);
    assert.equal(store.not("signed", { signed: true }), 9n);
    assert.equal(store.getEntry("signed")?.type, "bigint");
    store.set("n", max);
    assert.equal(store.add("n", 1), 0n);
    assert.throws(() => store.sub("n", 1, { checked: true }), OverflowError);
    assert.equal(store.getBigInt("n"), 0n);
    store.set("n", 2n ** 63n - 1n);
    const sum = () => store.add("n", 1, { signed: true, checked: true });
    assert.throws(sum, { code: "OVERFLOW", number: 22, message: /"n"/ });
    assert.equal(store.add("n", 1, { signed: true }), -(2n ** 63n));
  });

  test("What is no number says so", () => {
    using store = Splinter.anonymous();
    for (const value of ["", "seven", pattern(7), pattern(9)]) {
      store.set("key", value);
      assert.throws(() => store.add("key", 1), { name: "WrongTypeError", message: /"key"/ });
      assert.throws(() => store.getBigInt("key"), WrongTypeError);
    }
    for (const operand of [-1, 0.5, NaN, 2 ** 53, -1n, 2n ** 64n, "1", undefined]) {
      assert.throws(() => store.add("n", operand as number), InvalidArgumentError);
    }
    for (const operand of [2n ** 63n, -(2n ** 63n) - 1n]) {
      assert.throws(() => store.add("n", operand, { signed: true }), InvalidArgumentError);
    }
    assert.throws(() => store.add("n", 1, { signed: 1 as unknown as boolean }), InvalidArgumentError);
    assert.equal(store.getBigInt("n"), null);
    using tiny = Splinter.anonymous({ maxValueSize: 7 });
    assert.throws(() => tiny.set("n", 1n), ValueTooLargeError);
  });

  test("A bigint that is set comes back", () => {
    using store = Splinter.anonymous();
    for (const value of [0n, 1n, -1n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) {
      for (const key of ["a", "b"]) store.set(key, value);
      store.key("b").set(value);
      for (const key of ["a", "b"]) {
        assert.equal(store.getBigInt(key), value);
        assert.equal(store.getEntry(key)?.type, value < 0n ? "bigint" : "biguint");
        assert.equal(store.getRaw(key)?.length, 8);
      }
    }
  });

  test("What is appended is behind what was there", () => {
    using store = Splinter.anonymous({ maxValueSize: 200_000 });
    const whole: number[] = [];
    for (const part of ["a", "grüße", "", pattern(64), pattern(70_000), "x".repeat(70_000)]) {
      const bytes = typeof part === "string" ? new TextEncoder().encode(part) : part;
      for (const byte of bytes) whole.push(byte);
      assert.equal(store.append("key", part), whole.length);
    }
    assert.deepEqual(store.getRaw("key"), Uint8Array.from(whole));
    assert.throws(() => store.append("key", pattern(70_000)), { name: "ValueTooLargeError", message: /"key"/ });
    assert.throws(() => store.append("key", pattern(200_001)), ValueTooLargeError);
    assert.equal(store.getRaw("key")?.length, whole.length);
    assert.throws(() => store.append("key", 5 as unknown as string), InvalidArgumentError);
    assert.throws(() => store.append("", "a"), KeyInvalidError);
  });

  test("Many values come by one call, whatever their sizes", () => {
    using store = Splinter.anonymous({ slots: 512, maxValueSize: 100_000, maxKeySize: 100 });
    const sizes = [...Array.from({ length: 200 }, (_, i) => i), 65_535, 65_536, 65_537, 4, 100_000, 0, 33_333, 66_666];
    const keys = sizes.map((size, i) => (i % 3 ? "größe" : "k".repeat(i % 90)) + `/${i}/${size}`);
    store.setMany(keys.map((key, i) => [key, pattern(sizes[i])]));
    sizes.forEach((size, i) => assert.deepEqual(store.getRaw(keys[i]), pattern(size)));
    const asked = keys.flatMap((key) => [key, `${key}?`]);
    const values = store.getMany(asked);
    assert.equal(values.length, asked.length);
    values.forEach((value, i) => assert.deepEqual(value, i % 2 ? null : pattern(sizes[i >> 1]), asked[i]));
    assert.deepEqual(store.getMany(new Set([keys[5], keys[2]])), [pattern(5), pattern(2)]);
    assert.deepEqual(store.getMany([]), []);
    assert.deepEqual(store.getMany([keys[9], keys[9]]), [pattern(9), pattern(9)]);
    store.setMany([]);
    const kinds: [string, StoreValue][] = [["a", "text"], ["b", { json: 1 }], ["c", 9n], ["d", new Uint16Array([1])]];
    store.setMany(new Map(kinds));
    assert.deepEqual(kinds.map(([key]) => store.getRaw(key)?.length), [4, 10, 8, 2]);
  });

  test("Many values of a megabyte go in and out", () => {
    using store = Splinter.anonymous({ slots: 64, maxValueSize: 1 << 20 });
    const entries = Array.from({ length: 20 }, (_, i) => [`key/${i}`, new Uint8Array(1 << 20).fill(i)] as const);
    store.setMany(entries);
    const values = store.getMany(entries.map(([key]) => key));
    values.forEach((value, i) => assert.ok(value?.length === 1 << 20 && value.every((byte) => byte === i)));
  });

  test("Whoever makes a batch may use the store meanwhile", () => {
    using store = Splinter.anonymous();
    const numbers = function* () {
      for (let i = 0; i < 5; i++) {
        store.setMany([[`inner/${i}`, i]]);
        assert.equal(store.getMany([`inner/${i}`])[0]?.length, 1);
        yield [`key/${i}`, { toJSON: () => (store.set("json", i), i) }] as const;
      }
    };
    store.setMany(numbers());
    assert.deepEqual(store.getMany(["key/0", "key/4"]), [new Uint8Array([48]), new Uint8Array([52])]);
  });

  test("A batch that fails tells how far it came", () => {
    using store = Splinter.anonymous({ slots: 8, maxValueSize: 16, maxKeySize: 8 });
    const fails = (
      entries: [string, StoreValue][],
      stored: number,
      Class: new (...args: never[]) => Error,
      text = "",
    ) => {
      assert.throws(() => store.setMany(entries), (error) => {
        assert.ok(error instanceof Class && error instanceof SplinterError, String(error));
        assert.equal(error.stored, stored);
        assert.ok(error.message.includes(text), error.message);
        return true;
      });
    };
    fails([["a", "1"], ["b", "2"], ["c", "x".repeat(17)], ["d", "4"]], 2, ValueTooLargeError, '17 bytes for key "c"');
    assert.deepEqual(store.list().sort(), ["a", "b"]);
    fails([["e", "1"], ["", "2"]], 1, KeyInvalidError);
    fails([["f", "1"], ["x".repeat(9), "2"]], 1, KeyTooLongError, "9 bytes");
    fails([["g", "1"], ["h", undefined as unknown as string]], 0, InvalidArgumentError);
    fails([["g", "1"], [5 as unknown as string, ""]], 0, InvalidArgumentError);
    fails([["g", "1"], ["\ud800", ""]], 0, KeyInvalidError);
    assert.equal(store.has("g"), false);
    fails(Array.from({ length: 9 }, (_, i) => [`n${i}`, ""]), 4, FullError, '"n4"');
    assert.throws(() => store.getMany(["a", "x".repeat(9)]), { name: "KeyTooLongError", message: /"xxxxxxxxx"/ });
    assert.throws(() => store.getMany(["a", ""]), KeyInvalidError);
    assert.throws(() => store.getMany(["a", 5 as unknown as string]), InvalidArgumentError);
    store.close();
    assert.throws(() => store.getMany(["a"]), ClosedError);
    assert.throws(() => store.setMany([["a", "1"]]), { name: "ClosedError", stored: 0 });
  });

  test("A value has the type that it was set with", () => {
    using store = Splinter.anonymous({ maxValueSize: 200_000 });
    const typeOf = (key: string) => {
      const type = store.getEntry(key)?.type;
      assert.equal(store.getSlotSnapshot(key)?.type, type);
      assert.equal(Array.from(store.scan()).find((entry) => entry.key === key)?.type, type);
      return type;
    };
    const cases: [StoreValue, ValueType][] = [
      ["text", "text"],
      ["x".repeat(100_000), "text"],
      [{ json: "x".repeat(100_000) }, "json"],
      [null, "json"],
      [true, "json"],
      [5, "json"],
      [[], "json"],
      [5n, "biguint"],
      [-5n, "bigint"],
    ];
    const handle = store.key("by handle");
    for (const [value, type] of cases) {
      store.set("key", value);
      handle.set(value);
      store.update("updated", () => value);
      assert.deepEqual([typeOf("key"), typeOf("by handle"), typeOf("updated")], [type, type, type]);
      // Bytes leave it.
      store.set("key", pattern(100_000));
      store.append("key", "text");
      handle.set(pattern(5));
      assert.deepEqual([typeOf("key"), typeOf("by handle")], [type, type]);
    }
    store.set("bytes", pattern(5));
    assert.equal(typeOf("bytes"), "void");
    for (const type of ["void", "bigint", "biguint", "json", "binary", "image", "audio", "text"] as const) {
      for (const value of ["text", pattern(5), pattern(100_000), {}, 5n]) {
        store.set("key", value, { type });
        assert.equal(typeOf("key"), type);
      }
    }
  });

  test("Who only reads can change nothing, and a closed store does nothing", () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    store.set("n", 5n);
    const changes: ((store: Store) => unknown)[] = [
      (store) => store.set("key", "a", { ifAbsent: true }),
      (store) => store.set("key", pattern(5), { ttlMs: 1000 }),
      (store) => store.unset("n", { ifEpoch: store.epoch("n") }),
      (store) => store.update("n", () => ""),
      (store) => store.expire("n", 1000),
      (store) => store.persist("n"),
      (store) => store.sweep(),
      (store) => store.eviction = "lru",
      (store) => store.pin("n"),
      (store) => store.add("n", 1),
      (store) => store.append("n", "a"),
      (store) => store.setMany([["n", "a"]]),
      (store) => store.key("n").set("a"),
      (store) => store.key("n").unset(),
      (store) => store.key("n").append("a"),
      (store) => store.label("n", { add: 1 }),
      (store) => store.nameLabel(1, "one"),
    ];
    const questions: ((store: Store) => unknown)[] = [
      (store) => store.ttl("n"),
      (store) => store.eviction,
      (store) => store.getEntry("n"),
      (store) => store.getBigInt("n"),
      (store) => store.getMany(["n"]),
      (store) => store.view("n", (bytes) => bytes.length),
      (store) => store.labels("n"),
      (store) => store.labelNames(),
      (store) => Array.from(store.scan()),
      (store) => store.key("n").get(),
    ];
    using reader = Splinter.open(dir.file(), { readOnly: true });
    for (const change of changes) assert.throws(() => change(reader), PermissionError, String(change));
    for (const question of questions) assert.notEqual(question(reader), null, String(question));
    assert.throws(() => Splinter.open(dir.file(), { readOnly: true, sweepIntervalMs: 5 }), InvalidArgumentError);
    store.close();
    for (const operation of [...changes, ...questions]) {
      assert.throws(() => operation(store), ClosedError, String(operation));
      assert.throws(() => operation(store.namespace("x")), ClosedError, String(operation));
    }
  });
}
