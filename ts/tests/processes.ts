import assert from "node:assert/strict";
import { Worker } from "node:worker_threads";
import type { Store } from "../store.ts";
import { run, RUNTIME_NAMES, start } from "./programs.ts";
import { isUniform, PATIENCE_MS, pattern, type Suite, TempDir } from "./suite.ts";

/** Several processes, of either runtime, and several threads with one store. */
export function processTests({ test, Splinter, module }: Suite): void {
  for (const runtime of RUNTIME_NAMES) {
    /** Runs a peer meanwhile, that goes on until the block is left. */
    const during = async (store: Store, job: string, block: () => void) => {
      const ended = start({ runtime, store, job });
      try {
        waitFor(store, "ready");
        block();
      } finally {
        store.set("stop", "");
        assert.equal(await ended, 0);
      }
    };

    test(`What is set here is read and set by ${runtime}, byte for byte`, () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file(), { slots: 256, maxValueSize: 100_000 });
      const values = [0, 1, 63, 64, 65, 4096, 65_536, 65_537, 99_999, 100_000].map(pattern);
      values.push(new Uint8Array(8).fill(255), new Uint8Array(new BigUint64Array([2n ** 63n]).buffer));
      const texts = ["", "a", "grüße", "\u{10ffff}", "\ufeff", "日本語".repeat(10_000), "9007199254740993"];
      values.forEach((value, i) => store.set(`bytes/größe ${i}`, value));
      texts.forEach((text, i) => store.set(`text/${i}`, text));
      run({ runtime, store, job: "copy" });
      values.forEach((value, i) => assert.deepEqual(store.getRaw(`out/bytes/größe ${i}`), value));
      texts.forEach((text, i) => assert.equal(store.getString(`out/text/${i}`), text));
    });

    test(`An anonymous store is opened by ${runtime}`, () => {
      using store = Splinter.anonymous();
      store.set("text/a", "hello");
      run({ runtime, store, job: "copy" });
      assert.equal(store.getString("out/text/a"), "hello");
    });

    test(`A change by ${runtime} wakes whoever waits for the key`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      await during(store, "tick", () => {
        for (let i = 0; i < 20; i++) assert.equal(store.poll("tick", PATIENCE_MS), true);
        assert.equal(store.poll("other", 20), false);
      });
    });

    test(`A key that comes and goes in ${runtime} wakes whoever waits for it`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      await during(store, "blink", () => {
        for (let i = 0; i < 20; i++) assert.equal(store.poll("tick", Infinity), true);
      });
    });

    test(`No value is torn or missing while ${runtime} hammers it`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      store.set("value", new Uint8Array(1).fill(1));
      await during(store, "hammer", () => {
        const buffer = new Uint8Array(4096);
        const epochs = new Set<bigint | null>();
        for (let i = 0; i < 20_000 || epochs.size < 100; i++) {
          assert.ok(isUniform(store.getRaw("value")));
          const length = store.getInto("value", buffer);
          assert.ok(length !== null && isUniform(buffer.subarray(0, length)));
          epochs.add(store.epoch("value"));
        }
      });
    });

    test(`A write that does not wait is busy while ${runtime} writes the same key`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file(), { slots: 8, maxValueSize: 1 << 20 });
      await during(store, "hammer", () => {
        for (const write of [() => store.trySet("value", ""), () => store.tryUnset("value")]) {
          const end = Date.now() + PATIENCE_MS;
          const tryUntilBusy = () => {
            while (Date.now() < end) write();
          };
          assert.throws(tryUntilBusy, { name: "BusyError", code: "BUSY", message: /"value"/ });
        }
        // One that waits gets its turn.
        store.set("value", "a");
      });
    });

    test(`${runtime} reads whole values while they change here`, async () => {
      using dir = new TempDir();
      using store = Splinter.create(dir.file());
      store.set("value", new Uint8Array(1).fill(1));
      const ended = start({ runtime, store, job: "inspect" });
      waitFor(store, "ready");
      const end = Date.now() + PATIENCE_MS;
      for (let i = 0; !store.has("bad") && Date.now() < end; i++) {
        const length = 1 + i * 89 % 4096;
        store.set("value", new Uint8Array(length).fill(length));
      }
      assert.equal(await ended, 0);
      assert.equal(store.getJSON("bad"), 0);
    });
  }

  test("A poll that nobody answers ends in time", () => {
    using store = Splinter.anonymous();
    store.set("key", "value");
    const start = performance.now();
    assert.equal(store.poll("key", 30), false);
    assert.equal(store.poll("missing", 0.5), false);
    assert.equal(store.poll("missing", 0), false);
    assert.ok(performance.now() - start >= 30);
  });

  test("A thread uses a store by a handle of its own", async () => {
    using dir = new TempDir();
    using store = Splinter.create(dir.file());
    store.set("to worker", "hello");
    const thread = new Worker(new URL("./worker.ts", import.meta.url), { workerData: { module, path: store.path } });
    try {
      const answer = new Promise((resolve, reject) => {
        thread.on("message", resolve);
        thread.on("error", reject);
      });
      // Both threads write meanwhile.
      for (let i = 0; i < 1000; i++) store.set("from here", i);
      assert.equal(await answer, "hello");
      assert.equal(store.getJSON("from worker"), 999);
      assert.equal(store.getJSON("from here"), 999);
    } finally {
      await thread.terminate();
    }
  });
}

function waitFor(store: Store, key: string): void {
  while (!store.has(key)) assert.ok(store.poll(key, PATIENCE_MS), `Nobody set "${key}"`);
}
