import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import * as errors from "../errors.ts";
import { errorFromResult } from "../failures.ts";
import type { SplinterConstructor } from "../splinter.ts";
import type { StoreValue } from "../types.ts";
import { type Suite, TempDir } from "./suite.ts";

/** Whatever goes wrong has a class, a code and a message that says what. */
export function errorTests({ test, Splinter }: Suite): void {
  test("Every error has its class, code and number", () => {
    for (const [code, number] of Object.entries(errors.ERROR_NUMBERS)) {
      if (number === 0) continue;
      const error = errorFromResult(-number, "Something happened", 7);
      assert.ok(error instanceof errors.SplinterError && error instanceof Error);
      assert.equal(error.code, code);
      assert.equal(error.number, number);
      assert.equal(error.errno, 7);
      assert.equal(error.name, error.constructor.name);
      assert.equal(error.name.toUpperCase(), code.replaceAll("_", "") + "ERROR");
      assert.equal(error.message, "Something happened");
    }
    assert.equal(errorFromResult(-99, "").code, "INTERNAL");
    assert.equal("errno" in errorFromResult(-12, ""), false);
  });

  test("A full store says so, and takes changes of the keys it has", () => {
    using store = Splinter.anonymous({ slots: 3 });
    for (const key of ["a", "b", "c"]) store.set(key, "");
    assert.throws(() => store.set("d", ""), { name: "FullError", code: "FULL", message: /"d".* 3 slots/ });
    assert.throws(() => store.trySet("d", new Uint8Array(1)), errors.FullError);
    store.set("b", "changed");
    store.unset("a");
    store.set("d", "");
    assert.deepEqual(store.list().sort(), ["b", "c", "d"]);
  });

  test("A key that no store or this store does not take says why", () => {
    using store = Splinter.anonymous({ maxKeySize: 8 });
    const calls: ((key: string) => unknown)[] = [
      (key) => store.set(key, ""),
      (key) => store.set(key, new Uint8Array(1)),
      (key) => store.trySet(key, ""),
      (key) => store.trySet(key, new Uint8Array(1)),
      (key) => store.get(key),
      (key) => store.getInto(key, new Uint8Array(1)),
      (key) => store.getString(key),
      (key) => store.getJSON(key),
      (key) => store.has(key),
      (key) => store.unset(key),
      (key) => store.tryUnset(key),
      (key) => store.epoch(key),
      (key) => store.getSlotSnapshot(key),
      (key) => store.poll(key, 0),
    ];
    for (const call of calls) {
      assert.throws(() => call("x".repeat(9)), { code: "KEY_TOO_LONG", message: /9 bytes long.* at most 8/ });
      assert.throws(() => call("éééé."), { code: "KEY_TOO_LONG", message: /9 bytes long.* at most 8/ });
      for (const length of [1024, 1025, 1088, 1089, 1_000_000]) {
        assert.throws(() => call("x".repeat(length)), { code: "KEY_TOO_LONG" });
        assert.throws(() => call("é".repeat(length)), { code: "KEY_TOO_LONG" });
      }
      for (const key of ["", "\0", "a\0", "a\0b"]) {
        assert.throws(() => call(key), { code: "KEY_INVALID", message: /NUL/ });
      }
      for (const key of ["\ud800", "a\udc00b"]) {
        assert.throws(() => call(key), { code: "KEY_INVALID", message: /surrogate/ });
      }
      for (const key of [undefined, null, 7, {}, ["a"]]) {
        assert.throws(() => call(key as unknown as string), { code: "INVALID_ARGUMENT", message: /Key must be/ });
      }
    }
    assert.deepEqual(store.list(), []);
    assert.throws(() => store.keys({ prefix: "\ud800" }), errors.KeyInvalidError);
    assert.throws(() => store.keys({ prefix: 7 as unknown as string }), errors.InvalidArgumentError);
  });

  test("A value that is too large says so, and the old one stays", () => {
    for (const maxValueSize of [1, 100, 70_000]) {
      using store = Splinter.anonymous({ slots: 4, maxValueSize });
      store.set("key", "x");
      for (const write of [store.set, store.trySet]) {
        for (const value of [new Uint8Array(maxValueSize + 1), "x".repeat(maxValueSize + 1)]) {
          assert.throws(() => write.call(store, "key", value), {
            code: "VALUE_TOO_LARGE",
            message: new RegExp(`${maxValueSize + 1} bytes.*"key".* at most ${maxValueSize}`),
          });
        }
      }
      // Fewer characters than bytes.
      assert.throws(() => store.set("key", "é".repeat(maxValueSize)), errors.ValueTooLargeError);
      assert.equal(store.getString("key"), "x");
    }
  });

  test("A value without a stored form says so", () => {
    using store = Splinter.anonymous();
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    for (
      const value of [
        undefined,
        () => 1,
        Symbol("s"),
        2n ** 64n,
        -(2n ** 63n) - 1n,
        { n: 7n },
        circle,
        NaN,
        Infinity,
        new Map([[1, 2]]),
        new Set([1]),
        Promise.resolve(1),
        detached,
      ]
    ) {
      assert.throws(() => store.set("key", value as StoreValue), errors.InvalidArgumentError);
    }
    assert.equal(store.has("key"), false);
  });

  test("A value that is not JSON says so", () => {
    using store = Splinter.anonymous();
    store.set("key", "{ half");
    assert.throws(() => store.getJSON("key"), { code: "WRONG_TYPE", message: /"key"/ });
    store.set("key", "");
    assert.throws(() => store.getJSON("key"), errors.WrongTypeError);
  });

  test("Numbers and flags are checked, however often they are passed", () => {
    using store = Splinter.anonymous();
    const bad = [-1, 1.5, NaN, 2 ** 32, 2 ** 53, "1", null, 1n];
    for (let round = 0; round < 2000; round++) store.poll("key", 0);
    for (const value of bad) {
      const number = value as number;
      if (value !== 1.5) assert.throws(() => store.poll("key", number), errors.InvalidArgumentError, `poll ${value}`);
      if (value !== 2 ** 32) assert.throws(() => store.list(number), errors.InvalidArgumentError, `list ${value}`);
      assert.throws(() => store.setAV(number as 0), errors.InvalidArgumentError);
      assert.throws(() => {
        store.autoVacuum = value as unknown as boolean;
      }, errors.InvalidArgumentError);
      for (
        const name of [
          "slots",
          "maxValueSize",
          "maxKeySize",
          "journal",
          "mode",
          "lockTimeoutMs",
          "spinUs",
          "pollIntervalMs",
        ]
      ) {
        assert.throws(() => Splinter.anonymous({ [name]: value }), {
          code: "INVALID_ARGUMENT",
          message: new RegExp(`"${name}"`),
        });
      }
    }
    for (const options of [{ slots: 0 }, { maxValueSize: 0 }, { maxKeySize: 0 }, { maxKeySize: 1025 }]) {
      assert.throws(() => Splinter.anonymous(options), errors.InvalidArgumentError);
    }
    assert.throws(() => Splinter.anonymous({ autoVacuum: 1 as unknown as boolean }), errors.InvalidArgumentError);
    assert.throws(() => store.getInto("key", [1] as unknown as Uint8Array), errors.InvalidArgumentError);
  });

  test("Creating where something is fails and changes nothing", () => {
    using dir = new TempDir();
    const path = dir.file();
    using store = Splinter.create(path, 16, 64);
    store.set("key", "value");
    assert.throws(() => Splinter.create(path), { name: "ExistsError", code: "EXISTS" });
    assert.equal(store.getString("key"), "value");
    assert.equal(store.getBusHeaderSnapshot().slots, 16);
  });

  test("Opening what is not there says so", () => {
    using dir = new TempDir();
    assert.throws(() => Splinter.open(dir.file()), { name: "NoStoreError", code: "NO_STORE" });
    assert.throws(() => Splinter.open(dir.file("no/such/directory")), errors.SplinterError);
    assert.throws(() => Splinter.openOrCreate(dir.file("no/such/directory")), errors.SplinterError);
  });

  test("Opening with another shape says which shape the store has", () => {
    using dir = new TempDir();
    const path = dir.file();
    using store = Splinter.create(path, 16, 64);
    for (const open of [Splinter.open, Splinter.openOrCreate, Splinter.createOrOpen]) {
      assert.throws(() => open(path, 17, 64), { code: "INCOMPATIBLE", message: /16/ });
      assert.throws(() => open(path, { maxValueSize: 65 }), { code: "INCOMPATIBLE", message: /64/ });
      using same = open(path, 16, 64);
      assert.equal(same.getBusHeaderSnapshot().slots, 16);
      using unsaid = open(path);
      assert.equal(unsaid.getBusHeaderSnapshot().max_val_sz, 64);
    }
    store.set("key", "still here");
  });

  test("Opening what is not a store says so, and leaves it alone", () => {
    using dir = new TempDir();
    mkdirSync(dir.file("directory"));
    writeFileSync(dir.file("empty"), "");
    writeFileSync(dir.file("text"), "This is not a store. ".repeat(1000));
    symlinkSync(dir.file("nowhere"), dir.file("dangling"));
    for (const name of ["directory", "empty", "text"]) {
      refuses(Splinter, dir.file(name));
    }
    assert.throws(() => Splinter.create(dir.file("dangling")), errors.SplinterError);
    assert.throws(() => Splinter.open(dir.file("text")), { code: "NOT_A_STORE", message: /text/ });
  });

  test("A name or path that cannot be one says so", () => {
    const calls: ((name: string) => unknown)[] = [
      (name) => Splinter.open(name),
      (name) => Splinter.create(name),
      (name) => Splinter.memory(name),
      (name) => Splinter.remove(name),
    ];
    for (const call of calls) {
      for (const name of ["", "a\0b", "\ud800", undefined, null, 7, new URL("https://example.com/a")]) {
        assert.throws(() => call(name as string), errors.InvalidArgumentError, String(name));
      }
    }
    for (const name of ["a/b", "/", "x".repeat(256)]) {
      assert.throws(() => Splinter.memory(name), errors.SplinterError, name);
    }
    assert.throws(() => Splinter.open(new URL("file:///tmp/a"), { memory: true }), errors.InvalidArgumentError);
    assert.throws(() => Splinter.open("a", { slots: 1 }, 64), errors.InvalidArgumentError);
  });
}

function refuses(Splinter: SplinterConstructor, path: string): void {
  for (const open of [Splinter.open, Splinter.create, Splinter.openOrCreate, Splinter.createOrOpen]) {
    assert.throws(() => open(path).close(), errors.SplinterError, path);
  }
}
