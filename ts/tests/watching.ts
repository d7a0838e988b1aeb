import assert from "node:assert/strict";
import { truncateSync } from "node:fs";
import { ClosedError, InvalidArgumentError } from "../errors.ts";
import type { Watch, WatchEvent, WatchOptions, WatchPattern } from "../types.ts";
import { pattern, soon, type Suite, take, takeOne, TempDir, turn, until } from "./suite.ts";

/** Ways to end a watch, and what it takes to leave its loop. */
const ENDINGS: Record<string, (watch: Watch, abort: AbortController, store: Disposable) => void> = {
  "return()": (watch) => void watch.return(),
  "Its disposal": (watch) => watch[Symbol.dispose](),
  "Its asynchronous disposal": (watch) => void watch[Symbol.asyncDispose](),
  "An aborted signal": (_, abort) => abort.abort(),
  "A closed store": (_watch, _abort, store) => store[Symbol.dispose](),
};

/** Being told of the newest states of keys, in every way. */
export function watchTests({ test, Splinter }: Suite): void {
  test("A key that is not there yet is watched as it comes, changes and goes", async () => {
    using store = Splinter.anonymous();
    using watch = store.watch("key");
    store.set("key", "a");
    assert.deepEqual(await takeOne(watch), {
      key: "key",
      epoch: 2n,
      seq: 0n,
      kind: "set",
      offset: 0,
      value: bytes("a"),
    });
    store.set("key", "");
    assert.deepEqual(await takeOne(watch), {
      key: "key",
      epoch: 4n,
      seq: 1n,
      kind: "set",
      offset: 0,
      value: bytes(""),
    });
    store.unset("key");
    assert.deepEqual(await takeOne(watch), { key: "key", epoch: 6n, seq: 2n, kind: "unset", offset: 0, value: null });
  });

  test("What is changed after a watch was made is seen, however late its first event is asked for", async () => {
    using store = Splinter.anonymous();
    for (let i = 0; i < 100; i++) {
      using watch = store.watch("key");
      store.set("key", i);
      if (i % 2) await turn();
      assert.equal(jsonOf(await takeOne(watch)), i);
    }
  });

  test("Who keeps up gets every change, in order", async () => {
    using store = Splinter.anonymous();
    store.set("key", "");
    const first = store.epoch("key") ?? 0n;
    using watch = store.watch("*");
    for (let i = 1n; i <= 500n; i++) {
      store.set("key", `${i}`);
      const event = await takeOne(watch);
      assert.deepEqual(event, {
        key: "key",
        epoch: first + 2n * i,
        seq: i,
        kind: "set",
        offset: 0,
        value: bytes(`${i}`),
      });
    }
  });

  test("Who does not keep up gets the newest state, and the epoch tells", async () => {
    using store = Splinter.anonymous();
    using watch = store.watch({ prefix: "" });
    for (let i = 1; i <= 100; i++) {
      store.set("a", i);
      store.set("b", i);
    }
    store.set("end", "");
    const [a, b, end] = await take(watch, 3);
    assert.deepEqual(a, { key: "a", epoch: 200n, seq: 0n, kind: "set", offset: 0, value: bytes("100") });
    assert.deepEqual(b, { key: "b", epoch: 200n, seq: 1n, kind: "set", offset: 0, value: bytes("100") });
    assert.deepEqual([end.key, end.seq], ["end", 200n]);
  });

  test("A pattern selects the keys it says, and no others", async () => {
    using store = Splinter.anonymous();
    const keys = ["cpu/0", "cpu/1", "cpu/10/load", "cpu", "memory", "größe/ä", "größe/", "a*b", "axb", "a\\b", "日本"];
    const patterns: [WatchPattern, string[]][] = [
      ["cpu", ["cpu"]],
      ["cpu/*", ["cpu/0", "cpu/1", "cpu/10/load"]],
      ["cpu/?", ["cpu/0", "cpu/1"]],
      ["*", keys],
      ["**", keys],
      ["?*", keys],
      ["*load", ["cpu/10/load"]],
      ["c*0*d", ["cpu/10/load"]],
      ["größe/?", ["größe/ä"]],
      ["??", ["日本"]],
      ["a?b", ["a*b", "axb", "a\\b"]],
      ["a\\*b", ["a*b"]],
      ["a\\b", ["a\\b"]],
      ["a\\\\?", []],
      ["a\\\\*", ["a\\b"]],
      [["a*b", "cpu/0", "missing"], ["cpu/0", "a*b"]],
      [["cpu", "cpu"], ["cpu"]],
      [{ prefix: "cpu/" }, ["cpu/0", "cpu/1", "cpu/10/load"]],
      [{ prefix: "größe/" }, ["größe/ä", "größe/"]],
      [{ prefix: "a*" }, ["a*b"]],
      [{ prefix: "nothing" }, []],
      [{ prefix: "" }, keys],
    ];
    const watches = patterns.map(([pattern, expected]) => ({ watch: store.watch(pattern), expected }));
    for (const key of keys) store.set(key, key);
    for (const { watch, expected } of watches) {
      const events = await take(watch, expected.length);
      assert.deepEqual(events.map(({ key }) => key), expected);
      assert.deepEqual(events.map(({ value }) => textOf(value)), expected);
    }
    for (const key of keys) store.unset(key);
    for (const { watch, expected } of watches) {
      const events = await take(watch, expected.length);
      assert.deepEqual(events.map(({ key, kind }) => `${kind} ${key}`), expected.map((key) => `unset ${key}`));
    }
  });

  test("What exists comes first if it is asked for, then what changes", async () => {
    using store = Splinter.anonymous();
    store.set("a", "old");
    store.set("b", "old");
    store.unset("b");
    for (const pattern of ["*", "a", ["a", "b"], { prefix: "" }]) {
      using watch = store.watch(pattern, { initial: true });
      assert.deepEqual(summary(await takeOne(watch)), ["set", "a", "old"]);
      store.set("a", "new");
      assert.deepEqual(summary(await takeOne(watch)), ["set", "a", "new"]);
      store.set("a", "old");
      assert.deepEqual(summary(await takeOne(watch)), ["set", "a", "old"]);
    }
    using later = store.watch("*", { initial: false });
    store.set("c", "");
    assert.equal((await takeOne(later)).key, "c");
  });

  test("A watch goes on from where another ended", async () => {
    using store = Splinter.anonymous();
    store.set("a", 1);
    using before = store.watch("*");
    store.set("b", 2);
    store.set("c", 3);
    const { seq } = await takeOne(before);
    before[Symbol.dispose]();
    store.set("d", 4);
    store.set("c", 5);
    using after = store.watch("*", { from: seq + 1n });
    assert.deepEqual((await take(after, 2)).map(summary), [["set", "c", "5"], ["set", "d", "4"]]);
    store.set("e", 6);
    assert.deepEqual(summary(await takeOne(after)), ["set", "e", "6"]);
    using all = store.watch("?", { from: 0n });
    assert.deepEqual((await take(all, 5)).map(({ key }) => key), ["a", "b", "c", "d", "e"]);
    const end = store.getBusHeaderSnapshot().epoch;
    using now = store.watch("*", { from: end });
    store.set("f", 7);
    assert.equal((await takeOne(now)).seq, end);
    assert.throws(() => store.watch("*", { from: end + 2n }), InvalidArgumentError);
  });

  test("Who wants what the store has forgotten gets all there is", async () => {
    using store = Splinter.anonymous({ journal: 64 });
    for (let i = 0; i < 1000; i++) store.set(`key/${i % 10}`, i);
    store.set("other", "");
    using watch = store.watch("key/*", { from: 3n });
    const events = await take(watch, 10);
    const newest = Object.fromEntries(events.map((event) => [event.key, jsonOf(event)]));
    assert.deepEqual(newest, Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`key/${i}`, 990 + i])));
  });

  test("Who is overrun misses no last state", async () => {
    using store = Splinter.anonymous({ slots: 400, journal: 64 });
    for (let i = 0; i < 200; i++) store.set(`key/${i}`, "old");
    using watch = store.watch("key/*");
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < 200; i++) store.set(`key/${i}`, round);
    }
    for (let i = 0; i < 200; i += 2) store.unset(`key/${i}`);
    for (let i = 1; i < 200; i += 2) store.set(`key/${i}`, "last");
    const wanted = Array.from({ length: 200 }, (_, i) => [i % 2 ? "set" : "unset", `key/${i}`, i % 2 ? "last" : null]);
    const states = new Map<string, unknown>();
    do {
      const event = await takeOne(watch);
      states.set(event.key, summary(event));
    } while (!wanted.every((state) => String(states.get(state[1] as string)) === String(state)));
  });

  test("Values are left out if they are not wanted", async () => {
    using store = Splinter.anonymous();
    store.set("key", "value");
    using watch = store.watch("key", { values: false, initial: true });
    assert.deepEqual(await takeOne(watch), { key: "key", epoch: 2n, seq: 1n, kind: "set", offset: 0, value: null });
  });

  test("Values of every size come whole, and stay as they are", async () => {
    using store = Splinter.anonymous({ slots: 16, maxValueSize: 300_000 });
    using watch = store.watch("value/*");
    const sizes = [0, 1, 7, 8, 63, 64, 128, 129, 4096, 4097, 65_536, 65_537, 300_000];
    const events: WatchEvent[] = [];
    for (const size of sizes) {
      store.set(`value/${size}`, pattern(size));
      events.push(await takeOne(watch));
    }
    assert.deepEqual(events.map(({ value }) => value), sizes.map(pattern));
  });

  test("Overlapping calls are answered in their order", async () => {
    using store = Splinter.anonymous();
    const watch = store.watch("*");
    const next = Array.from({ length: 5 }, () => watch.next());
    await turn();
    for (const key of ["a", "b", "c"]) store.set(key, "");
    const answers = await soon(Promise.all(next.slice(0, 3)));
    assert.deepEqual(answers.map(({ value }) => value?.key), ["a", "b", "c"]);
    await watch.return();
    assert.deepEqual(await soon(Promise.all(next.slice(3))), Array(2).fill({ done: true, value: undefined }));
  });

  test("Every watch of a key is told, in every handle", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    using other = Splinter.open(dir.file());
    using reader = Splinter.open(dir.file(), { readOnly: true });
    const watches = [store, store, other, reader, reader].map((store) => store.watch("key"));
    for (const writer of [store, other]) {
      writer.set("key", "value");
      for (const watch of watches) assert.deepEqual(summary(await takeOne(watch)), ["set", "key", "value"]);
    }
  });

  test("A watch can be told to look by itself", async () => {
    using store = Splinter.anonymous({ pollIntervalMs: 5 });
    using watch = store.watch("key");
    store.set("key", "value");
    assert.equal((await takeOne(watch)).key, "key");
    assert.equal(await soon(store.pollAsync("key", { timeoutMs: 20 })), false);
  });

  for (const [name, end] of Object.entries(ENDINGS)) {
    test(`${name} ends a watch at once, whoever waits for it`, async () => {
      using store = Splinter.anonymous();
      const abort = new AbortController();
      const signal = countListeners(abort.signal);
      const watch = store.watch("key", { signal });
      const changes = store.changes({ signal });
      for (const iterator of [watch, changes] as Watch<unknown>[]) {
        const waiting = [iterator.next(), iterator.next()];
        await turn();
        end(iterator as Watch, abort, store);
        end(iterator as Watch, abort, store);
        for (const next of [...waiting, iterator.next(), iterator.return(), iterator.next()]) {
          assert.deepEqual(await soon(next), { done: true, value: undefined });
        }
      }
      assert.equal(signal.listeners, 0);
    });

    test(`${name} ends the loop of a watch that has more to tell`, async () => {
      using store = Splinter.anonymous();
      for (const key of ["a", "b", "c"]) store.set(key, "");
      const abort = new AbortController();
      const watch = store.watch("*", { initial: true, signal: abort.signal });
      let seen = 0;
      for await (const _ of watch) {
        if (++seen === 2) end(watch, abort, store);
      }
      assert.equal(seen, 2);
      assert.equal(abort.signal.aborted, name === "An aborted signal");
    });
  }

  test("Leaving its loop ends a watch", async () => {
    using store = Splinter.anonymous();
    store.set("key", "");
    const broken = store.watch("key", { initial: true });
    for await (const _ of broken) break;
    const thrown = store.watch("key", { initial: true });
    await assert.rejects(async () => {
      for await (const _ of thrown) throw new Error("Left in a hurry");
    }, /hurry/);
    const disposed = store.watch("key", { initial: true });
    {
      await using _ = disposed;
    }
    for (const watch of [broken, thrown, disposed]) {
      assert.deepEqual(await soon(watch.next()), { done: true, value: undefined });
    }
  });

  test("A signal that was aborted before lets nothing begin", async () => {
    using store = Splinter.anonymous();
    store.set("key", "");
    const signal = AbortSignal.abort();
    for await (const _ of store.watch("key", { initial: true, signal })) assert.fail("There was an event");
    for await (const _ of store.changes({ from: 0n, signal })) assert.fail("There was a change");
    store.subscribe("key", () => assert.fail("There was an event"), { initial: true, signal });
    await turn();
  });

  test("A store that is closed ends every watch of its own, and of no other", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    const other = Splinter.open(dir.file());
    using stays = store.watch("key");
    const waiting = Array.from({ length: 100 }, () => other.watch("key").next());
    await turn();
    other.close();
    for (const next of waiting) assert.equal((await soon(next)).done, true);
    store.set("key", "value");
    assert.equal((await takeOne(stays)).key, "key");
  });

  test("A watch that nobody reads holds up no other", async () => {
    using store = Splinter.anonymous();
    using _unread = store.watch("*");
    using watch = store.watch("key");
    for (let i = 0; i < 100; i++) {
      store.set("key", i);
      assert.equal(jsonOf(await takeOne(watch)), i);
    }
  });

  test("A store that is cut while it is watched ends every watch with an error, once", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    store.set("key", "");
    const signal = countListeners(new AbortController().signal);
    const watches: Watch<unknown>[] = [store.watch("key", { signal }), store.changes({ signal })];
    const waiting = watches.map((watch) => [watch.next(), watch.next()]);
    const poll = store.pollAsync("key", { signal });
    using unread = store.watch("key");
    await turn();
    truncateSync(dir.file(), 0);
    // Whoever has the store open meets the damage by using it.
    assert.throws(() => store.set("key", "value"), { code: "CORRUPT" });
    await assert.rejects(soon(poll), { code: "CORRUPT" });
    for (const [first, second] of waiting) {
      await assert.rejects(soon(first), { code: "CORRUPT" });
      assert.deepEqual(await soon(second), { done: true, value: undefined });
    }
    await assert.rejects(soon(unread.next()), { code: "CORRUPT" });
    for (const watch of [...watches, unread]) assert.equal((await soon(watch.next())).done, true);
    assert.equal(signal.listeners, 0);
    assert.throws(() => store.watch("key"), { code: "CORRUPT" });
  });

  test("What cannot be watched says why", () => {
    using store = Splinter.anonymous({ maxKeySize: 8 });
    const begin = [
      (pattern: WatchPattern, options?: WatchOptions) => void store.watch(pattern, options),
      (pattern: WatchPattern, options?: WatchOptions) => void store.subscribe(pattern, () => {}, options),
    ];
    for (const watch of begin) {
      for (const key of ["", "a\0b"]) {
        assert.throws(() => watch(key), { code: "KEY_INVALID" }, JSON.stringify(key));
        assert.throws(() => watch(["a", key]), { code: "KEY_INVALID", message: /key/i }, JSON.stringify([key]));
      }
      for (const pattern of ["\ud800", "a*\ud800", ["a", "\ud800"], { prefix: "\ud800" }]) {
        assert.throws(() => watch(pattern), { code: "KEY_INVALID", message: /surrogate/ });
      }
      for (const pattern of ["x".repeat(9), ["a", "x".repeat(9)], "x".repeat(100_000)]) {
        assert.throws(() => watch(pattern), { code: "KEY_TOO_LONG" });
      }
      for (const pattern of [undefined, null, 7, {}, [], [7], { prefix: 7 }, new Uint8Array(3)]) {
        assert.throws(() => watch(pattern as WatchPattern), { code: "INVALID_ARGUMENT", message: /"pattern"/ });
      }
      const options = { signal: {}, initial: 1, values: "no", from: 0 };
      for (const [name, value] of Object.entries(options)) {
        assert.throws(() => watch("key", { [name]: value }), {
          code: "INVALID_ARGUMENT",
          message: new RegExp(`"${name}"`),
        });
      }
      for (const from of [-1n, 2n ** 64n, 1n, 2n ** 64n - 1n]) {
        assert.throws(() => watch("key", { from }), InvalidArgumentError);
      }
    }
    assert.throws(() => store.subscribe("key", undefined as unknown as () => void), InvalidArgumentError);
    // Nothing was begun that would keep the process.
    store.set("key", "");
  });

  test("A subscription calls back with every event until it is ended", async () => {
    using store = Splinter.anonymous();
    const events: unknown[] = [];
    const unsubscribe = store.subscribe("key", (event) => events.push(summary(event)));
    store.set("key", "a");
    assert.deepEqual(events, []);
    await until(() => events.length === 1);
    store.set("key", "b");
    await until(() => events.length === 2);
    store.unset("key");
    await until(() => events.length === 3);
    unsubscribe();
    unsubscribe();
    store.set("key", "c");
    using watch = store.watch("key", { initial: true });
    await takeOne(watch);
    await turn();
    assert.deepEqual(events, [["set", "key", "a"], ["set", "key", "b"], ["unset", "key", null]]);
  });

  test("A subscription can be ended in its callback, by a block with using and by a signal", async () => {
    using store = Splinter.anonymous();
    for (let i = 0; i < 10; i++) store.set(`key/${i}`, "");
    const counts = [0, 0, 0];
    const abort = new AbortController();
    const endings = [
      store.subscribe("*", () => ++counts[0] === 3 && endings[0](), { initial: true }),
      store.subscribe("*", () => ++counts[1] === 4 && endings[1][Symbol.dispose](), { initial: true }),
      store.subscribe("*", () => ++counts[2] === 5 && abort.abort(), { initial: true, signal: abort.signal }),
    ];
    {
      using _ = store.subscribe("*", () => assert.fail("It was called back"), { initial: true });
    }
    using all = store.watch("*", { initial: true });
    await take(all, 10);
    await until(() => counts[2] >= 5);
    await turn();
    assert.deepEqual(counts, [3, 4, 5]);
  });

  test("A store can be closed in a callback of its own", async () => {
    const store = Splinter.anonymous();
    for (let i = 0; i < 10; i++) store.set(`key/${i}`, "");
    let calls = 0;
    const waiting = store.watch("never").next();
    const later = store.subscribe("*", () => calls++, { initial: true });
    store.subscribe("*", () => {
      calls = 0;
      store.close();
    }, { initial: true });
    store.subscribe("*", () => calls++, { initial: true });
    assert.equal((await soon(waiting)).done, true);
    await turn();
    assert.equal(calls, 0);
    assert.throws(() => store.watch("key"), ClosedError);
    later();
  });

  test("A subscription can be begun in a callback", async () => {
    using store = Splinter.anonymous();
    const seen: string[] = [];
    store.subscribe("a", () => {
      store.subscribe("b", ({ key }) => seen.push(key));
      store.set("b", "");
    });
    store.set("a", "");
    await until(() => seen.length === 1);
  });

  test("An asynchronous poll is answered by a change of the key", async () => {
    using store = Splinter.anonymous();
    using other = Splinter.open(store.path);
    const changes: (() => unknown)[] = [
      () => store.set("a*", 1),
      () => other.set("a*", 1),
      () => store.unset("a*"),
      () => other.set("a*", 2),
    ];
    for (const change of changes) {
      const changed = store.pollAsync("a*");
      change();
      assert.equal(await soon(changed), true);
    }
  });

  test("An asynchronous poll that nobody answers ends in time", async () => {
    using store = Splinter.anonymous();
    store.set("key", "");
    const start = performance.now();
    const polls = [30, 0.5, 0].map((timeoutMs) => store.pollAsync("key", { timeoutMs }));
    // A glob would match it.
    polls.push(store.pollAsync("k*", { timeoutMs: 40 }));
    store.set("kay", "");
    assert.deepEqual(await soon(Promise.all(polls)), [false, false, false, false]);
    // The timers of a runtime may be a little early.
    assert.ok(performance.now() - start >= 38);
  });

  test("An asynchronous poll ends with its signal, for its reason", async () => {
    using store = Splinter.anonymous();
    const abort = new AbortController();
    const signal = countListeners(abort.signal);
    const reason = new Error("Enough");
    const polls = Array.from({ length: 3 }, () => store.pollAsync("key", { signal, timeoutMs: 3_000_000_000 }));
    await turn();
    abort.abort(reason);
    for (const poll of polls) await assert.rejects(soon(poll), reason);
    assert.equal(signal.listeners, 0);
    await assert.rejects(soon(store.pollAsync("key", { signal })), reason);
    await assert.rejects(soon(store.pollAsync("key", { signal: AbortSignal.timeout(5) })), { name: "TimeoutError" });
    const unused = countListeners(new AbortController().signal);
    const answered = store.pollAsync("key", { signal: unused });
    store.set("key", "");
    assert.equal(await soon(answered), true);
    assert.equal(unused.listeners, 0);
  });

  test("An asynchronous poll of a store that is closed is rejected", async () => {
    const store = Splinter.anonymous();
    const poll = store.pollAsync("key", { timeoutMs: 1_000_000 });
    await turn();
    store.close();
    await assert.rejects(soon(poll), { code: "CLOSED" });
    await assert.rejects(soon(store.pollAsync("key")), { code: "CLOSED" });
  });

  test("An asynchronous poll is rejected, never thrown, if its arguments are wrong", async () => {
    using store = Splinter.anonymous();
    await assert.rejects(store.pollAsync(""), { code: "KEY_INVALID" });
    await assert.rejects(store.pollAsync("x".repeat(65)), { code: "KEY_TOO_LONG" });
    await assert.rejects(store.pollAsync(7 as unknown as string), { code: "INVALID_ARGUMENT" });
    await assert.rejects(store.pollAsync("key", { timeoutMs: -1 }), { code: "INVALID_ARGUMENT", message: /timeoutMs/ });
    await assert.rejects(store.pollAsync("key", { signal: 1 as unknown as AbortSignal }), { code: "INVALID_ARGUMENT" });
  });
}

/** A signal that counts its listeners. */
function countListeners(signal: AbortSignal): AbortSignal & { listeners: number } {
  const { addEventListener, removeEventListener } = signal;
  const counting = Object.assign(signal, { listeners: 0 });
  // The listeners that are called once are gone then.
  signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
    counting.listeners++;
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
    counting.listeners--;
    removeEventListener.apply(signal, args);
  };
  return counting;
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function textOf(value: Uint8Array | null): string | null {
  return value === null ? null : new TextDecoder().decode(value);
}

function jsonOf({ value }: WatchEvent): unknown {
  return JSON.parse(textOf(value) ?? "null");
}

function summary({ kind, key, value }: WatchEvent): unknown[] {
  return [kind, key, textOf(value)];
}
