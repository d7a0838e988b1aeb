import assert from "node:assert/strict";
import { ClosedError, InvalidArgumentError, KeyInvalidError, KeyTooLongError } from "../errors.ts";
import type { Change, Key, KeyEntry } from "../types.ts";
import { start } from "./programs.ts";
import { isUniform, PATIENCE_MS, pattern, soon, type Suite, take, takeOne, TempDir, turn, until } from "./suite.ts";

/** Objects for keys, values where they lie, labels, namespaces, and what watches tell of all that. */
export function lookingTests({ test, Splinter, collectGarbage }: Suite): void {
  test("A key object does what the store does with the key", () => {
    using store = Splinter.anonymous({ maxValueSize: 100_000 });
    const key = store.key("größe/1");
    assert.equal(key.name, "größe/1");
    assert.deepEqual([key.get(), key.getRaw(), key.getString(), key.getInto(new Uint8Array(8))], Array(4).fill(null));
    assert.deepEqual([key.has(), key.epoch(), key.unset(), key.changed()], [false, null, null, false]);
    for (const size of [0, 1, 64, 65_536, 65_537, 100_000]) {
      key.set(pattern(size));
      assert.equal(key.changed(), true);
      assert.equal(key.changed(), false);
      assert.deepEqual(key.get(), pattern(size));
      assert.deepEqual(store.getRaw("größe/1"), pattern(size));
      const buffer = new Uint8Array(size + 8);
      assert.equal(key.getInto(buffer), size);
      assert.deepEqual(buffer.subarray(0, size), pattern(size));
      assert.equal(key.epoch(), store.epoch("größe/1"));
    }
    assert.throws(() => key.getInto(new Uint8Array(99_999)), { name: "InvalidArgumentError", message: /größe/ });
    assert.throws(() => key.getInto([] as unknown as Uint8Array), InvalidArgumentError);
    for (const text of ["", "a", "grüße", "é".repeat(50_000)]) {
      key.set(text);
      assert.equal(key.getString(), text);
    }
    key.set({ json: [1] });
    assert.deepEqual(store.getJSON("größe/1"), { json: [1] });
    key.set("ab");
    assert.equal(key.append("c"), 3);
    assert.equal(key.append(pattern(5)), 8);
    store.unset("größe/1");
    assert.deepEqual([key.changed(), key.has(), key.get()], [true, false, null]);
    for (let i = 0; i < 500; i++) store.set(`other/${i}`, i);
    store.set("größe/1", "again");
    assert.equal(key.getString(), "again");
    assert.equal(key.unset(), 5);
    assert.throws(() => key.set(pattern(100_001)), { name: "ValueTooLargeError", message: /größe/ });
    assert.throws(() => key.append(pattern(100_001)), { name: "ValueTooLargeError", message: /größe/ });
    assert.throws(() => key.set(undefined as unknown as string), InvalidArgumentError);
    assert.throws(() => store.key(""), KeyInvalidError);
    assert.throws(() => store.key("x".repeat(65)), KeyTooLongError);
    assert.throws(() => store.key("\ud800"), KeyInvalidError);
    assert.throws(() => store.key(5 as unknown as string), InvalidArgumentError);
  });

  test("A key object ends with its store, or before", () => {
    using dir = new TempDir();
    const store = Splinter.create(dir.file());
    store.set("key", "value");
    const uses: ((key: Key) => unknown)[] = [
      (key) => key.get(),
      (key) => key.getString(),
      (key) => key.getInto(new Uint8Array(8)),
      (key) => key.set("a"),
      (key) => key.set(pattern(5)),
      (key) => key.set(5n),
      (key) => key.unset(),
      (key) => key.has(),
      (key) => key.epoch(),
      (key) => key.changed(),
      (key) => key.append("a"),
    ];
    const early = store.key("key");
    early.close();
    early.close();
    for (const use of uses) assert.throws(() => use(early), { name: "ClosedError", message: /Key "key"/ });
    const keys = Array.from({ length: 100 }, () => store.key("key"));
    {
      using key = store.key("key");
      assert.ok(key.has());
    }
    store.close();
    for (const key of keys) {
      for (const use of uses) assert.throws(() => use(key), ClosedError);
      key.close();
    }
    using again = Splinter.open(dir.file());
    assert.equal(again.getString("key"), "value");
  });

  test("A store lives while one of its keys does, and key objects that nobody has are given up", async () => {
    const key = (() => {
      const store = Splinter.anonymous();
      store.set("key", "value");
      for (let i = 0; i < 10_000; i++) store.key("key");
      return store.key("key");
    })();
    for (let i = 0; i < 5; i++) {
      collectGarbage();
      await turn();
    }
    assert.equal(key.getString(), "value");
  });

  test("A value is seen where it lies, and not any more afterwards", () => {
    using dir = new TempDir();
    const store = Splinter.create(dir.file(), { maxValueSize: 100_000 });
    assert.equal(store.view("key", () => assert.fail("there is nothing")), null);
    const kept: Uint8Array[] = [];
    for (const size of [0, 1, 64, 65_537, 100_000]) {
      store.set("key", pattern(size));
      const seen = store.view("key", (bytes) => {
        kept.push(bytes, bytes.subarray(size >> 1));
        return bytes.slice();
      });
      assert.deepEqual(seen, pattern(size));
    }
    store.close();
    for (const bytes of kept) {
      assert.deepEqual([bytes.length, bytes.byteOffset, bytes[0]], [0, 0, undefined]);
      assert.equal((bytes.buffer as ArrayBuffer).detached, true);
    }
    assert.throws(() => store.view("key", () => 1), ClosedError);
  });

  test("Whatever the function does that looks, its bytes stay where they are until it returns", () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file(), { maxValueSize: 100_000 });
    store.set("a", pattern(50_000));
    store.set("b", pattern(70_000));
    const both = store.view("a", (a) => store.view("b", (b) => a.length + b.length));
    assert.equal(both, 120_000);
    assert.throws(() =>
      store.view("a", () => {
        throw new RangeError("mine");
      }), RangeError);
    assert.throws(() => store.view("a", (bytes) => bytes.buffer.transfer()), InvalidArgumentError);
    assert.throws(() => store.view("a", "value" as unknown as () => string), InvalidArgumentError);
    // It writes itself what it looks at, for ever: in the end there is a copy.
    let calls = 0;
    const seen = store.view("a", (bytes) => {
      calls++;
      store.set("a", pattern(50_000 + calls));
      return bytes.length;
    });
    assert.equal(seen, 50_000 + calls - 1);
    assert.ok(calls > 1);
    const closed = store.view("b", (bytes) => {
      store.close();
      let sum = 0;
      for (const byte of bytes) sum += byte;
      return sum;
    });
    assert.equal(closed, pattern(70_000).reduce((sum, byte) => sum + byte, 0));
    assert.throws(() => store.get("b"), ClosedError);
  });

  test("What is made of a value that others change is made of one whole value", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file(), { maxValueSize: 50_000 });
    store.set("value", new Uint8Array(1).fill(1));
    const ended = start({ runtime: "bun", store, job: "hammer" });
    while (!store.has("ready")) assert.ok(store.poll("ready", PATIENCE_MS));
    let epoch = store.epoch("value");
    let changes = 0;
    for (let i = 0; i < 2000 || changes < 100; i++) {
      assert.equal(store.view("value", isUniform), true);
      if (epoch !== (epoch = store.epoch("value"))) changes++;
    }
    store.set("stop", "");
    assert.equal(await ended, 0);
  });

  test("Keys have labels, by number, by name and by mask", () => {
    using store = Splinter.anonymous();
    assert.deepEqual([store.label("key", { add: 1 }), store.labels("key")], [null, null]);
    store.set("key", "value");
    const epoch = store.epoch("key");
    assert.deepEqual(store.labels("key"), []);
    assert.deepEqual(store.label("key", { add: [0, 63] }), [0, 63]);
    store.nameLabel(0, "hot");
    store.nameLabel(5, "größe");
    assert.deepEqual(store.labelNames(), new Map([[0, "hot"], [5, "größe"]]));
    assert.deepEqual(store.label("key", { add: ["größe", 6], remove: 63 }), ["hot", "größe", 6]);
    assert.deepEqual(store.label("key", { add: "hot", remove: 0xffn }), ["hot"]);
    assert.equal(store.getSlotSnapshot("key")?.labels, 1n);
    assert.equal(store.epoch("key"), epoch);
    store.set("key", "other");
    assert.deepEqual(store.labels("key"), ["hot"]);
    store.nameLabel(0, "");
    assert.deepEqual(store.labels("key"), [0]);
    assert.deepEqual(store.label("key", { add: 2n ** 64n - 1n })?.length, 64);
    for (const wrong of ["nobody", -1, 64, 0.5, -1n, 2n ** 64n, null]) {
      assert.throws(() => store.label("key", { add: wrong as string }), InvalidArgumentError);
      assert.throws(() => store.list(1, { labels: [wrong as string] }), InvalidArgumentError);
      assert.throws(() => store.watch("key", { labels: wrong as string }), InvalidArgumentError);
    }
    for (const [label, name] of [[64, "a"], [-1, "a"], [1, "größe"], [1, "x".repeat(57)], [1, "\0"]] as const) {
      assert.throws(() => store.nameLabel(label, name), InvalidArgumentError);
    }
    for (let i = 0; i < 64; i++) store.nameLabel(i, `${i}/`.padEnd(56, "x"));
    assert.equal(store.labelNames().size, 64);
  });

  test("Keys are listed by their labels", () => {
    using store = Splinter.anonymous();
    store.nameLabel(1, "odd");
    for (let i = 0; i < 300; i++) {
      store.set(`key/${i}`, { i });
      store.label(`key/${i}`, { add: [...(i % 2 ? ["odd"] : []), ...(i % 3 ? [] : [2])] });
    }
    const both = { labels: ["odd", 2], prefix: "key/1" };
    const expected = Array.from({ length: 300 }, (_, i) => i)
      .filter((i) => i % 2 && i % 3 === 0 && `${i}`[0] === "1").map((i) => `key/${i}`).sort();
    assert.deepEqual(Array.from(store.keys(both)).sort(), expected);
    assert.deepEqual(store.list(1000, both).sort(), expected);
    assert.deepEqual(Array.from(store.entries(both), ([key]) => key).sort(), expected);
    const scanned: KeyEntry[] = Array.from(store.scan(both)).sort((a, b) => a.key < b.key ? -1 : 1);
    assert.deepEqual(
      scanned,
      expected.map((key) => ({
        key,
        epoch: store.epoch(key)!,
        type: "json" as const,
        size: store.getRaw(key)!.length,
        labels: 6n,
      })),
    );
    assert.equal(store.list(1000, { labels: 0n }).length, 300);
  });

  test("Keys are watched by their labels", async () => {
    using store = Splinter.anonymous();
    store.nameLabel(7, "hot");
    store.set("a", "1");
    using watch = store.watch({ prefix: "" }, { labels: "hot" });
    store.set("b", "2");
    store.label("a", { add: "hot" });
    const first = await takeOne(watch);
    assert.deepEqual([first.key, first.kind, first.value], ["a", "set", new Uint8Array([49])]);
    store.set("b", "3");
    store.set("a", "4");
    assert.deepEqual([(await takeOne(watch)).value], [new Uint8Array([52])]);
    store.label("a", { remove: "hot" });
    store.set("a", "5");
    store.label("b", { add: 7 });
    assert.equal((await takeOne(watch)).key, "b");
  });

  test("A watch may ask for what is appended alone", async () => {
    using store = Splinter.anonymous();
    using watch = store.watch("key", { appended: true });
    let length = 0;
    for (let i = 0; i < 50; i++) {
      const token = `${i} `;
      store.append("key", token);
      const { kind, offset, value } = await takeOne(watch);
      assert.deepEqual([kind, offset, new TextDecoder().decode(value!)], ["set", length, token]);
      length += token.length;
    }
    // Several at once are one event.
    store.append("key", "a");
    store.append("key", "b");
    const { offset, value } = await takeOne(watch);
    assert.deepEqual([offset, value], [length, new Uint8Array([97, 98])]);
    store.set("key", "new");
    const whole = await takeOne(watch);
    assert.deepEqual([whole.offset, whole.value?.length], [0, 3]);
    store.unset("key");
    assert.deepEqual([(await takeOne(watch)).kind], ["unset"]);
    assert.throws(() => store.watch("key", { appended: true, values: false }), InvalidArgumentError);
    assert.throws(() => store.watch("key", { appended: 1 as unknown as boolean }), InvalidArgumentError);
  });

  test("Watches and changes tell how a key went, and what else became of it", async () => {
    using store = Splinter.anonymous({ slots: 2, eviction: "lru" });
    using watch = store.watch({ prefix: "" });
    using changes = store.changes();
    const kindOf = async () => {
      const change: Change = await takeOne(changes);
      return change.kind;
    };
    store.set("a", "1");
    assert.deepEqual([(await takeOne(watch)).kind, await kindOf()], ["set", "set"]);
    store.append("a", "1");
    assert.deepEqual([(await takeOne(watch)).kind, await kindOf()], ["set", "appended"]);
    store.label("a", { add: 1 });
    assert.equal(await kindOf(), "attributes");
    store.expire("a", 1);
    assert.equal(await kindOf(), "attributes");
    while (store.has("a"));
    store.sweep();
    assert.deepEqual([(await takeOne(watch)).kind, await kindOf()], ["expired", "expired"]);
    for (const key of ["a", "b"]) {
      store.set(key, "1");
      assert.deepEqual([(await takeOne(watch)).kind, await kindOf()], ["set", "set"]);
    }
    store.pin("a");
    assert.equal(await kindOf(), "attributes");
    store.set("c", "1");
    const [b, c] = await take(watch, 2);
    assert.deepEqual([b.key, b.kind, b.value, c.key, c.kind], ["b", "evicted", null, "c", "set"]);
    assert.deepEqual([await kindOf(), await kindOf()], ["evicted", "set"]);
  });

  test("A store that sweeps tells of what has run out of time by itself, until it is closed", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file(), { sweepIntervalMs: 1 });
    using reader = Splinter.open(dir.file());
    using watch = reader.watch("key");
    store.set("key", "value", { ttlMs: 50 });
    assert.deepEqual((await take(watch, 2)).map(({ kind }) => kind), ["set", "expired"]);
    store.close();
    reader.set("key", "value", { ttlMs: 1 });
    assert.equal((await takeOne(watch)).kind, "set");
    await until(() => reader.getBusHeaderSnapshot().epoch > 0n);
    for (const wrong of [0, -1, 0.5, Infinity, 2 ** 31]) {
      assert.throws(() => Splinter.anonymous({ sweepIntervalMs: wrong }), InvalidArgumentError);
    }
  });

  test("A namespace is a store of its own", async () => {
    using store = Splinter.anonymous({ slots: 256 });
    const demo = store.namespace("demo*::");
    const inner = demo.namespace("größe/");
    store.set("a", "outside");
    store.set("demo*::a", "inside");
    assert.equal(demo.getString("a"), "inside");
    assert.equal(demo.set("b", "2"), undefined);
    assert.ok(demo.set("b", "3", { ifPresent: true }).ok);
    assert.ok(inner.set("c", { d: 1 }, { ifAbsent: true }).ok);
    assert.deepEqual(store.list().sort(), ["a", "demo*::a", "demo*::b", "demo*::größe/c"]);
    assert.deepEqual(demo.list().sort(), ["a", "b", "größe/c"]);
    assert.equal(demo.list(1).length, 1);
    assert.deepEqual(inner.list(), ["c"]);
    assert.deepEqual(Array.from(demo.keys({ prefix: "g" })), ["größe/c"]);
    assert.deepEqual(Array.from(inner.entries(), ([key]) => key), ["c"]);
    assert.deepEqual(Array.from(inner.scan(), ({ key, type }) => [key, type]), [["c", "json"]]);
    assert.equal(inner.getSlotSnapshot("c")?.key, "c");
    assert.equal(inner.getSlotSnapshot("d"), null);
    assert.deepEqual(inner.getJSON("c"), { d: 1 });
    assert.equal(inner.getEntry("c")?.type, "json");
    demo.setMany([["x", "1"], ["y", "2"]]);
    assert.deepEqual(demo.getMany(["y", "x", "z"]).map((value) => value?.[0]), [50, 49, undefined]);
    assert.equal(store.getString("demo*::x"), "1");
    assert.equal(demo.add("n", 5), 5n);
    assert.equal(store.getBigInt("demo*::n"), 5n);
    assert.equal(demo.append("x", "2"), 2);
    assert.equal(demo.update("x", () => "3"), demo.epoch("x"));
    assert.equal(demo.view("x", (bytes) => bytes[0]), 51);
    const key = inner.key("k");
    key.set("v");
    assert.deepEqual([key.name, store.getString("demo*::größe/k")], ["k", "v"]);
    assert.deepEqual([demo.expire("x", 1000), demo.ttl("x")! <= 1000, demo.persist("x")], [true, true, true]);
    assert.deepEqual(demo.label("x", { add: 3 }), [3]);
    assert.deepEqual(demo.list(10, { labels: 3 }), ["x"]);
    assert.deepEqual([demo.pin("x"), demo.unset("x"), demo.tryUnset("x"), demo.has("x")], [true, 1, null, false]);
    const epoch = demo.epoch("y");
    assert.deepEqual(demo.unset("y", { ifEpoch: 1n << 40n }), { ok: false, epoch });
    assert.throws(() => demo.get(5 as unknown as string), InvalidArgumentError);
    assert.throws(() => demo.list(1, { prefix: 5 as unknown as string }), InvalidArgumentError);
    assert.throws(() => store.namespace("\ud800"), KeyInvalidError);
    assert.throws(() => demo.key("x".repeat(60)), KeyTooLongError);

    // What is told of it.
    using changes = demo.changes();
    const seen: string[] = [];
    using _ = inner.subscribe("*", (event) => seen.push(event.key));
    using byKey = demo.watch("w");
    using byKeys = demo.watch(["w", "v"]);
    using byGlob = demo.watch("w*");
    using byPrefix = demo.watch({ prefix: "w" });
    const polled = demo.pollAsync("w", { timeoutMs: PATIENCE_MS });
    for (const name of ["w", "demoX::w"]) store.set(name, "elsewhere");
    demo.set("w", "here");
    for (const watch of [byKey, byKeys, byGlob, byPrefix]) {
      const event = await takeOne(watch);
      assert.deepEqual([event.key, event.value?.length], ["w", 4]);
    }
    assert.equal(await soon(polled), true);
    const change = await takeOne(changes);
    assert.deepEqual([change.kind, "key" in change && change.key], ["set", "w"]);
    inner.set("s", "");
    await until(() => seen.length > 0);
    assert.deepEqual(seen, ["s"]);

    using here = demo.channel("chat");
    using there = demo.channel("chat");
    using outside = store.channel("chat");
    outside.onmessage = () => assert.fail("this is another channel");
    const heard = new Promise((resolve) => there.onmessage = ({ data }) => resolve(data));
    here.postMessage("hello");
    assert.deepEqual([await soon(heard), here.name], ["hello", "chat"]);
    assert.ok(demo.list().some((key) => key.startsWith("channel/chat/")));

    assert.equal(demo.path, store.path);
    assert.equal(demo.opened, true);
    demo.close();
    assert.equal(store.opened, false);
  });
}
