import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { CorruptError, InvalidArgumentError, IoError } from "../errors.ts";
import type { Durability } from "../types.ts";
import { onDisk, type Suite, TempDir, uniqueName, until } from "./suite.ts";

/** Where the header has the number of the boot that the store was last used in. */
const BOOT_ID = { at: 136, length: 16 };

const COMMIT: Durability = "commit";

/** Longer than any test. */
const NEVER = { intervalMs: 3_600_000 };

function checkpointOf(path: string): string {
  return `${path}.checkpoint`;
}

/** Whether the checkpoint of a store has a key with a value in it. */
function isSynced(path: string, key: string, value: string): boolean {
  return existsSync(checkpointOf(path)) && readFileSync(checkpointOf(path)).includes(key + value);
}

/** Leaves a store as it is found when the power was cut, the machine has started again, and some values are torn. */
function cutPower(path: string, torn: string[]): void {
  const region = readFileSync(path);
  region.fill(0x5a, BOOT_ID.at, BOOT_ID.at + BOOT_ID.length);
  for (const value of torn) {
    let at = region.indexOf(value);
    assert.ok(at >= 0, `${value} is not there`);
    for (; at >= 0; at = region.indexOf(value)) region[at] ^= 0xff;
  }
  writeFileSync(path, region);
}

/** What a power cut may take, and how a store is found after one. */
export function durabilityTests({ test, Splinter }: Suite): void {
  test("After a power cut there is what was synced, and the store says what it found", () => {
    using dir = onDisk();
    const path = dir.file();
    {
      using store = Splinter.create(path);
      assert.equal(store.recovery, null);
      store.set("kept", "whole");
      store.set("torn", "synced value");
      store.set("deleted", "x");
      store.sync();
      store.unset("deleted");
      store.sync();
      store.set("kept", "written later and whole");
      store.set("torn", "written later and torn");
      store.set("new", "never synced and torn");
    }
    cutPower(path, ["written later and torn", "never synced and torn"]);
    assert.throws(() => Splinter.open(path, { readOnly: true }), CorruptError);
    {
      using store = Splinter.open(path);
      assert.deepEqual(store.recovery, { kept: 1, restored: 1, lost: 1 });
      assert.deepEqual(store.namespace("x").recovery, store.recovery);
      assert.equal(store.getString("kept"), "written later and whole");
      assert.equal(store.getString("torn"), "synced value");
      assert.deepEqual([store.has("new"), store.has("deleted")], [false, false]);
      // Once is enough.
      using second = Splinter.open(path);
      assert.equal(second.recovery, null);
    }
    using reader = Splinter.open(path, { readOnly: true });
    assert.equal(reader.getString("torn"), "synced value");
    assert.equal(reader.recovery, null);
    assert.equal(Splinter.remove(path), true);
    assert.equal(existsSync(checkpointOf(path)), false);
  });

  test("What a commit has returned from survives a power cut", () => {
    using dir = onDisk();
    const path = dir.file();
    {
      using store = Splinter.create(path, { durability: "commit" });
      store.set("text", "committed text");
      assert.ok(isSynced(path, "text", "committed text"));
      store.set("bytes", new TextEncoder().encode("committed bytes"));
      store.setMany([["first", "committed 1"], ["second", "committed 2"]]);
      const key = store.key("object");
      key.set("committed object");
      store.set("gone", "x");
      store.unset("gone");
      assert.equal(store.syncFailure, null);
    }
    const values = ["committed text", "committed bytes", "committed 1", "committed 2", "committed object"];
    cutPower(path, values);
    using store = Splinter.open(path);
    assert.deepEqual(store.recovery, { kept: 0, restored: 5, lost: 0 });
    const found = store.getMany(["text", "bytes", "first", "second", "object", "gone"]);
    const texts = found.map((value) => value && new TextDecoder().decode(value));
    assert.deepEqual(texts, [...values, null]);
  });

  test("At intervals a store is synced for all who write to it, and once more when it is closed", async () => {
    using dir = onDisk();
    const path = dir.file();
    {
      using store = Splinter.create(path, { durability: { intervalMs: 1 } });
      store.set("own", "synced soon");
      await until(() => isSynced(path, "own", "synced soon"));
      using other = Splinter.open(path);
      other.set("other", "synced too");
      await until(() => isSynced(path, "other", "synced too"));
      assert.equal(store.syncFailure, null);
    }
    {
      using store = Splinter.open(path, { durability: NEVER });
      store.set("last", "synced at last");
      assert.equal(isSynced(path, "last", "synced at last"), false);
    }
    assert.ok(isSynced(path, "last", "synced at last"));
  });

  test("A sync that fails is told, and stays told", async () => {
    using dir = onDisk();
    const path = dir.file();
    Splinter.create(path).close();
    const durabilities: Durability[] = ["none", "commit", { intervalMs: 1 }, NEVER];
    for (const durability of durabilities) {
      const store = Splinter.open(path, { durability });
      // There is something in the way that is no file.
      mkdirSync(checkpointOf(path));
      if (durability === "commit") {
        assert.throws(() => store.set("key", "value"), IoError);
        assert.equal(store.getString("key"), "value", "It was made");
        assert.throws(() => store.key("key").set("value"), IoError);
      } else if (durability === "none") {
        store.set("key", "value");
        assert.throws(() => store.sync(), IoError);
      } else {
        store.set("key", "value");
        if (durability !== NEVER) await until(() => store.syncFailure !== null);
      }
      if (durability === NEVER) {
        assert.equal(store.syncFailure, null);
      } else {
        rmdirSync(checkpointOf(path));
        assert.ok(store.syncFailure instanceof IoError && store.syncFailure.errno! > 0);
        assert.deepEqual(store.namespace("x").syncFailure, store.syncFailure);
        assert.throws(() => store.sync(), { name: "IoError", message: /^Cannot write the store to its disk: / });
      }
      if (typeof durability === "object") {
        assert.throws(() => store.close(), IoError);
        assert.equal(store.opened, false);
      }
      store.close();
      rmSync(checkpointOf(path), { recursive: true, force: true });
      // Another is as good as new.
      using next = Splinter.open(path, { durability: "commit" });
      next.set("key", "value");
      rmSync(checkpointOf(path));
    }
  });

  test("In memory nothing is put on a disk, whatever is asked for", () => {
    const name = uniqueName();
    try {
      for (const durability of [COMMIT, NEVER]) {
        using store = Splinter.memory(name, { durability });
        store.set("key", "value");
        store.sync();
        assert.equal(existsSync(checkpointOf(store.path)), false);
      }
    } finally {
      Splinter.remove(name, { memory: true });
    }
  });

  test("What no durability can be is told", () => {
    using dir = new TempDir();
    const path = dir.file();
    Splinter.create(path).close();
    const wrong: unknown[] = [
      "always",
      null,
      5,
      {},
      { intervalMs: 0 },
      { intervalMs: 1.5 },
      { intervalMs: "5" },
      { intervalMs: 2 ** 32 },
    ];
    for (const durability of wrong) {
      assert.throws(() => Splinter.open(path, { durability: durability as Durability }), {
        name: "InvalidArgumentError",
        message: /"(durability|intervalMs)"/,
      });
    }
    for (const durability of [COMMIT, NEVER]) {
      assert.throws(() => Splinter.open(path, { durability, readOnly: true }), InvalidArgumentError);
    }
    Splinter.open(path, { durability: "none", readOnly: true }).close();
  });
}
