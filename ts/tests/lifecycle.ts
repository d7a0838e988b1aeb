import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import * as errors from "../errors.ts";
import type { Store } from "../store.ts";
import { descriptors, PATIENCE_MS, type Suite, TempDir, uniqueName } from "./suite.ts";

/** Opening, closing and removing stores of every kind. */
export function lifecycleTests({ test, Splinter, collectGarbage }: Suite): void {
  test("A store is a file unless said otherwise, by path or by URL", () => {
    using dir = new TempDir();
    const path = dir.file("größe.splinter");
    using store = Splinter.create(path, { mode: 0o640 });
    assert.equal(statSync(path).mode & 0o777, 0o640);
    assert.equal(store.path, path);
    store.set("key", "value");
    using other = Splinter.open(pathToFileURL(path));
    assert.equal(other.getString("key"), "value");
    assert.ok(store instanceof Splinter && other instanceof Splinter);
  });

  test("A file keeps its keys when nobody has it open", () => {
    using dir = new TempDir();
    const path = dir.file();
    {
      using store = Splinter.openOrCreate(path, 64, 128);
      store.set("key", "value");
    }
    {
      using store = Splinter.createOrOpen(path);
      assert.equal(store.getString("key"), "value");
      assert.equal(store.getBusHeaderSnapshot().slots, 64);
      store.sync();
    }
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test("Shared memory is found by its name", () => {
    const name = uniqueName();
    try {
      using store = Splinter.memory(name, { slots: 16 });
      assert.ok(existsSync(`/dev/shm/${name}`));
      store.set("key", "value");
      using same = Splinter.memory(`/${name}`);
      assert.equal(same.getString("key"), "value");
      using other = Splinter.open(name, { memory: true, readOnly: true });
      assert.equal(other.getString("key"), "value");
      assert.throws(() => Splinter.create(name, { memory: true }), errors.ExistsError);
      assert.throws(() => Splinter.memory(name, { slots: 17 }), errors.IncompatibleError);
      using byPath = Splinter.open(store.path);
      assert.equal(byPath.getString("key"), "value");
    } finally {
      assert.equal(Splinter.remove(name, { memory: true }), true);
    }
    assert.equal(existsSync(`/dev/shm/${name}`), false);
    assert.equal(Splinter.remove(name, { memory: true }), false);
  });

  test("An anonymous store is found by its path", () => {
    using store = Splinter.anonymous({ slots: 16 });
    using other = Splinter.open(store.path);
    other.set("key", "value");
    assert.equal(store.getString("key"), "value");
    using unrelated = Splinter.anonymous();
    assert.equal(unrelated.has("key"), false);
  });

  test("Removing a store leaves it to those who have it open", () => {
    using dir = new TempDir();
    const path = dir.file();
    assert.equal(Splinter.remove(path), false);
    using store = Splinter.create(path);
    assert.equal(Splinter.remove(pathToFileURL(path)), true);
    assert.equal(existsSync(path), false);
    assert.equal(Splinter.remove(path), false);
    store.set("key", "value");
    assert.equal(store.getString("key"), "value");
    using next = Splinter.create(path);
    assert.equal(next.has("key"), false);
  });

  test("Removing what is not a store fails and leaves it", () => {
    using dir = new TempDir();
    writeFileSync(dir.file("text"), "This is not a store. ".repeat(1000));
    assert.throws(() => Splinter.remove(dir.file("text")), errors.SplinterError);
    assert.throws(() => Splinter.remove(dir.path), errors.SplinterError);
    assert.ok(existsSync(dir.file("text")));
  });

  test("A backup is a store of its own", () => {
    using dir = new TempDir();
    const copy = dir.file("copy.splinter");
    using store = Splinter.create(dir.file(), { slots: 64, maxValueSize: 256 });
    for (let i = 0; i < 64; i++) store.set(`key/${i}`, "x".repeat(i * 4));
    store.backup(copy);
    store.set("key/1", "changed");
    using other = Splinter.open(pathToFileURL(copy));
    assert.deepEqual(other.list().sort(), store.list().sort());
    for (let i = 0; i < 64; i++) assert.equal(other.getString(`key/${i}`), "x".repeat(i * 4));
    assert.throws(() => store.backup(copy), errors.ExistsError);
    assert.throws(() => store.backup(dir.file("no/such/directory")), errors.SplinterError);
  });

  test("A read-only store shows changes and makes none", () => {
    using dir = new TempDir();
    const path = dir.file();
    using store = Splinter.create(path);
    store.set("key", "old");
    chmodSync(path, 0o400);
    using reader = Splinter.open(path, { readOnly: true });
    assert.equal(reader.getString("key"), "old");
    store.set("key", "new");
    assert.equal(reader.getString("key"), "new");
    assert.deepEqual(reader.list(), ["key"]);
    assert.equal(reader.poll("key", 1), false);
    const changes = [
      () => reader.set("key", "value"),
      () => reader.set("key", new Uint8Array(1)),
      () => reader.trySet("key", "value"),
      () => reader.unset("key"),
      () => reader.tryUnset("key"),
      () => reader.setAV(0),
    ];
    for (const change of changes) {
      assert.throws(change, { code: "PERMISSION", message: /read-only/ });
    }
    assert.equal(store.getString("key"), "new");
    assert.equal(store.getAV(), 1);
  });

  test("A closed store throws, but may be closed again", () => {
    const store = Splinter.anonymous();
    store.set("key", "value");
    const keys = store.keys();
    keys.next();
    const entries = store.entries();
    assert.equal(store.opened, true);
    store.close();
    store.close();
    store[Symbol.dispose]();
    assert.equal(store.opened, false);
    const uses: (() => unknown)[] = [
      () => store.set("key", "value"),
      () => store.set("key", new Uint8Array(1)),
      () => store.set("key", new Uint8Array(1 << 20)),
      () => store.trySet("key", "value"),
      () => store.trySet("key", new Uint8Array(1)),
      () => store.get("key"),
      () => store.getRaw("key"),
      () => store.getInto("key", new Uint8Array(8)),
      () => store.getString("key"),
      () => store.getJSON("key"),
      () => store.has("key"),
      () => store.unset("key"),
      () => store.tryUnset("key"),
      () => store.list(),
      () => store.keys(),
      () => store.entries(),
      () => keys.next(),
      () => entries.next(),
      () => store.epoch("key"),
      () => store.getSlotSnapshot("key"),
      () => store.getBusHeaderSnapshot(),
      () => store.poll("key", 1),
      () => store.watch("key"),
      () => store.changes(),
      () => store.subscribe("key", () => {}),
      () => store.channel("name"),
      () => store.getAV(),
      () => store.setAV(0),
      () => store.autoVacuum,
      () => store.autoVacuum = false,
      () => store.sync(),
      () => store.syncFailure,
      () => store.recovery,
      () => store.backup("never-made"),
      () => store.path,
    ];
    for (const use of uses) {
      assert.throws(use, { name: "ClosedError", code: "CLOSED" }, String(use));
    }
    assert.equal(existsSync("never-made"), false);
  });

  test("A block with using closes its store, whatever happens in it", () => {
    let left: Store | undefined;
    assert.throws(() => {
      using store = Splinter.anonymous();
      left = store;
      throw new Error("Left in a hurry");
    }, /hurry/);
    assert.equal(left?.opened, false);
  });

  test("Many stores and many handles of one store work side by side", () => {
    using dir = new TempDir();
    using stack = new DisposableStack();
    const stores = Array.from({ length: 20 }, (_, i) => stack.use(Splinter.create(dir.file(`${i}`), 8, 64)));
    stores.forEach((store, i) => store.set("key", i));
    const handles = Array.from({ length: 50 }, () => stack.use(Splinter.open(dir.file("7"))));
    stores.forEach((store, i) => assert.equal(store.getJSON("key"), i));
    handles.forEach((handle, i) => {
      handle.set("key", i);
      assert.equal(stores[7].getJSON("key"), i);
    });
    handles[0].close();
    assert.equal(handles[1].getJSON("key"), 49);
  });

  test("Thousands of open and close cycles leave nothing behind", () => {
    using dir = new TempDir();
    const path = dir.file();
    const name = uniqueName();
    Splinter.create(path, 16, 64).close();
    try {
      const cycle = () => {
        Splinter.open(path).close();
        Splinter.memory(name, { slots: 16, maxValueSize: 64 }).close();
        Splinter.anonymous({ slots: 16, maxValueSize: 64 }).close();
        assert.throws(() => Splinter.create(path));
        assert.throws(() => Splinter.open(path, 17));
      };
      for (let i = 0; i < 10; i++) cycle();
      const before = descriptors();
      for (let i = 0; i < 2000; i++) cycle();
      // Not exactly equal, since a runtime may open something of its own.
      assert.ok(descriptors() < before + 10, `${descriptors()} descriptors, ${before} before`);
      const mappings = readFileSync("/proc/self/maps", "utf8").split("\n")
        .filter((line) => line.includes(basename(dir.path)) || line.includes(name));
      assert.deepEqual(mappings, []);
    } finally {
      Splinter.remove(name, { memory: true });
    }
  });

  test("A store that nobody closed and nobody can reach is closed in the end", async () => {
    const before = descriptors();
    for (let i = 0; i < 200; i++) Splinter.anonymous({ slots: 1, maxValueSize: 1 });
    const end = Date.now() + PATIENCE_MS;
    // What is collected is left to the collector, so some may stay.
    while (descriptors() > before + 100 && Date.now() < end) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve));
    }
    assert.ok(descriptors() <= before + 100);
  });

  test("The library can be named, and one that is named is used or is an error", () => {
    using dir = new TempDir();
    const missing = dir.file("missing.so");
    assert.throws(() => Splinter.anonymous({ libPath: missing }), (error) => {
      assert.ok(error instanceof errors.LibraryError);
      assert.equal(error.code, "LIBRARY_NOT_FOUND");
      assert.deepEqual(error.tried.map(({ place }) => place), [missing]);
      assert.ok(error.message.includes(missing));
      return true;
    });
    writeFileSync(dir.file("text.so"), "This is not a library.");
    assert.throws(() => Splinter.anonymous({ libPath: pathToFileURL(dir.file("text.so")) }), errors.LibraryError);
    assert.throws(() => Splinter.remove("x", { libPath: dir.file("text.so") }), errors.LibraryError);
    assert.throws(() => Splinter.anonymous({ libPath: 7 as unknown as string }), errors.InvalidArgumentError);
  });
}
