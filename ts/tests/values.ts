import assert from "node:assert/strict";
import { pattern, type Suite } from "./suite.ts";

/** Whatever is set comes back, byte for byte. */
export function valueTests({ test, Splinter }: Suite): void {
  test("Values of every length up to the largest come back", () => {
    using store = Splinter.anonymous({ maxValueSize: 700 });
    for (let length = 0; length <= 700; length++) {
      const bytes = pattern(length);
      store.set("bytes", bytes);
      assert.deepEqual(store.getRaw("bytes"), bytes);
      assert.deepEqual(store.get("bytes"), bytes);
      assert.equal(store.unset("bytes"), length);
    }
  });

  test("Values too large for the scratch memory come back", () => {
    const sizes = [65_535, 65_536, 65_537, 1 << 20];
    using store = Splinter.anonymous({ slots: 8, maxValueSize: 1 << 20 });
    for (const size of sizes) {
      const bytes = pattern(size);
      store.set("bytes", bytes);
      assert.deepEqual(store.getRaw("bytes"), bytes);
      store.trySet("bytes", bytes.fill(7));
      assert.deepEqual(store.getRaw("bytes"), bytes);
      const text = "é".repeat(size >> 1);
      store.set("text", text);
      assert.equal(store.getString("text"), text);
    }
  });

  test("Texts of every kind come back", () => {
    using store = Splinter.anonymous();
    const texts = [
      "",
      "a",
      "grüße",
      "日本語",
      "\u{10ffff}",
      "a\0b",
      "\ufeffwith a byte order mark",
      "x".repeat(31) + "é",
      "x".repeat(4096),
      "é".repeat(2048),
      "\u{1f600}".repeat(1024),
    ];
    for (const text of texts) {
      store.set("text", text);
      assert.equal(store.getString("text"), text);
      assert.deepEqual(store.getRaw("text"), new TextEncoder().encode(text));
    }
  });

  test("What is not UTF-8 is replaced when it is read or written as text", () => {
    using store = Splinter.anonymous();
    store.set("text", new Uint8Array([0x61, 0xff, 0xc3]));
    assert.equal(store.getString("text"), "a\ufffd\ufffd");
    store.set("text", "a\ud800b");
    assert.equal(store.getString("text"), "a\ufffdb");
  });

  test("Keys of every kind are told apart", () => {
    using store = Splinter.anonymous({ maxKeySize: 1024 });
    const keys = [
      "a",
      "aé",
      "é",
      "\u{10ffff}",
      "\ufeffa",
      "日本語/キー",
      ...Array.from({ length: 40 }, (_, i) => "k".repeat(i + 2)),
      "x".repeat(1024),
      "é".repeat(512),
    ];
    keys.forEach((key, i) => store.set(key, i));
    keys.forEach((key, i) => {
      assert.equal(store.getJSON(key), i, key);
      assert.equal(store.has(key), true);
    });
    assert.deepEqual(store.list().sort(), keys.sort());
  });

  test("JSON values come back", () => {
    using store = Splinter.anonymous();
    const values = [
      0,
      -0.5,
      2 ** 53 - 1,
      2 ** 53,
      -(2 ** 53),
      Number.MAX_VALUE,
      Number.MIN_VALUE,
      true,
      false,
      null,
      [],
      [1, [2, ["three"]]],
      {},
      { "ключ": { nested: [null, { deep: "\u{10ffff}" }] } },
    ];
    for (const value of values) {
      store.set("json", value);
      assert.deepEqual(store.getJSON("json"), value);
      assert.equal(store.getString("json"), JSON.stringify(value));
    }
    store.set("date", new Date(0));
    assert.equal(store.getJSON("date"), "1970-01-01T00:00:00.000Z");
  });

  test("A value whose JSON form is made by using the store is stored under its own key", () => {
    using store = Splinter.anonymous();
    store.set("source", "from the source");
    store.set("target", { toJSON: () => store.getString("source") });
    assert.equal(store.getJSON("target"), "from the source");
    assert.equal(store.getString("source"), "from the source");
  });

  test("Views and buffers are stored byte for byte", () => {
    using store = Splinter.anonymous();
    const bytes = pattern(32);
    const shared = new Uint8Array(new SharedArrayBuffer(32));
    shared.set(bytes);
    for (
      const value of [
        bytes.buffer,
        new DataView(bytes.buffer),
        new Float64Array(bytes.buffer),
        new BigUint64Array(bytes.buffer),
        shared,
        shared.buffer,
      ]
    ) {
      store.set("bytes", value);
      assert.deepEqual(store.getRaw("bytes"), bytes);
    }
    store.set("bytes", new Uint16Array(bytes.buffer, 4, 3));
    assert.deepEqual(store.getRaw("bytes"), bytes.slice(4, 10));
  });

  test("Each value read is a copy of its own", () => {
    using store = Splinter.anonymous({ slots: 4096 });
    const copies: Uint8Array[] = [];
    for (let i = 0; i < 4000; i++) {
      store.set("bytes", pattern(i % 200).fill(i));
      const copy = store.getRaw("bytes");
      assert.ok(copy);
      copies.push(copy);
      copy.fill(i);
    }
    copies.forEach((copy, i) => assert.deepEqual(copy, new Uint8Array(i % 200).fill(i)));
    store.set("bytes", "abc");
    store.getRaw("bytes")?.fill(0);
    assert.equal(store.getString("bytes"), "abc");
  });

  test("A copy can be viewed as numbers of any size", () => {
    using store = Splinter.anonymous();
    store.set("bytes", "odd");
    store.getRaw("bytes");
    store.set("numbers", new Float64Array([1.5, -2.5]));
    const copy = store.getRaw("numbers");
    assert.ok(copy);
    assert.deepEqual([...new Float64Array(copy.buffer, copy.byteOffset, 2)], [1.5, -2.5]);
  });

  test("Getting into a buffer leaves the rest of it alone", () => {
    using store = Splinter.anonymous();
    const buffer = new Uint8Array(8).fill(9);
    store.set("bytes", new Uint8Array([1, 2, 3]));
    assert.equal(store.getInto("bytes", buffer), 3);
    assert.deepEqual(buffer, new Uint8Array([1, 2, 3, 9, 9, 9, 9, 9]));
    assert.equal(store.getInto("bytes", buffer.subarray(5)), 3);
    assert.deepEqual(buffer, new Uint8Array([1, 2, 3, 9, 9, 1, 2, 3]));
    store.set("empty", "");
    assert.equal(store.getInto("empty", new Uint8Array(0)), 0);
    assert.equal(store.getInto("missing", buffer), null);
    assert.throws(
      () => store.getInto("bytes", buffer.subarray(0, 2)),
      { code: "INVALID_ARGUMENT", message: /"bytes" is 3 bytes long .* buffer of 2/ },
    );
    assert.deepEqual(buffer, new Uint8Array([1, 2, 3, 9, 9, 1, 2, 3]));
    // Larger than any value, and than the scratch memory.
    assert.equal(store.getInto("bytes", new Uint8Array(1 << 20)), 3);
  });

  test("A key that is not there is null", () => {
    using store = Splinter.anonymous();
    assert.equal(store.get("missing"), null);
    assert.equal(store.getRaw("missing"), null);
    assert.equal(store.getString("missing"), null);
    assert.equal(store.getJSON("missing"), null);
    assert.equal(store.unset("missing"), null);
    assert.equal(store.tryUnset("missing"), null);
    assert.equal(store.epoch("missing"), null);
    assert.equal(store.getSlotSnapshot("missing"), null);
    assert.equal(store.has("missing"), false);
  });

  test("Unsetting tells the length that was there", () => {
    using store = Splinter.anonymous();
    for (const value of ["", "a", "é", "x".repeat(4096)]) {
      const { length } = new TextEncoder().encode(value);
      store.set("key", value);
      assert.equal(store.unset("key"), length);
      store.trySet("key", value);
      assert.equal(store.tryUnset("key"), length);
      assert.equal(store.has("key"), false);
    }
  });
}
