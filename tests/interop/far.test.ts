/** A store of more than 4 GiB works at its far end in every runtime. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync, statfsSync, statSync, writeSync } from "node:fs";
import { PATIENCE_MS, pattern, TempDir } from "../../ts/tests/suite.ts";
import { Peers, Shared } from "./peers.ts";

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

/** Where offsets outgrow 32 bits. */
const BORDER = 2 ** 32;
/** The first slot in the second word of the map of free slots, so that one can be pointed at it. */
const SLOT = 64;
const GEOMETRY = { slots: SLOT + 1, journal_entries: 64 };
/** What the one key reserves, and some room for others. */
const NEEDED_BYTES = 200 * 2 ** 20;

async function valuesBegin(): Promise<number> {
  await using _ = await Shared.make(peers, { ...GEOMETRY, max_value_bytes: 64 });
  await peers.all[0].set("key", "");
  await peers.all[0].set("key", "");
  const slot = await peers.all[0].slot("key");
  assert.ok(slot);
  return Number(slot.val_off);
}

function hasRoom(): boolean {
  using dir = new TempDir();
  const { bavail, bsize } = statfsSync(dir.path);
  if (bavail * bsize >= NEEDED_BYTES) return true;
  console.warn(`NOT TESTED: a store of 4 GiB, because ${dir.path} has no room for ${NEEDED_BYTES / 2 ** 20} MiB`);
  return false;
}

test.if(hasRoom())("A value on either side of 4 GiB, or across, is in all runtimes what it is", async () => {
  const begin = await valuesBegin();
  // The last slot's buffers begin less than 8 KiB before the border and half their slot's size behind it.
  const bufferBytes = Math.floor((BORDER - begin) / (2 * SLOT * 64)) * 64;
  await using store = await Shared.make(peers, { ...GEOMETRY, max_value_bytes: bufferBytes });
  const { size, blocks } = statSync(store.path);
  assert.ok(size > BORDER && blocks * 512 < NEEDED_BYTES);

  const file = openSync(store.path, "r+");
  try {
    // The next insert looks for a slot there first, by the table in layout.rs.
    writeSync(file, new Uint8Array([SLOT / 64, 0, 0, 0]), 0, 4, 216);
    const places = new Set<string>();
    for (const writer of peers.all) {
      for (const length of [10_000, 20_000]) {
        const value = Buffer.from(pattern(length));
        await writer.set("far", value);
        assert.deepEqual(await peers.agree((peer) => peer.get("far")), value);
        const slot = await peers.agree((peer) => peer.slot("far"));
        assert.ok(slot);
        const offset = Number(slot.val_off);
        const found = Buffer.alloc(length);
        assert.equal(readSync(file, found, 0, length, offset), length);
        assert.deepEqual(found, value);
        places.add(offset > BORDER ? "behind" : offset + length > BORDER ? "across" : "before");
      }
    }
    assert.deepEqual([...places].sort(), ["across", "behind"]);
    for (const [i, deleter] of peers.all.entries()) {
      assert.equal(await deleter.unset("far"), 20_000);
      assert.equal(await peers.agree((peer) => peer.get("far")), null);
      await peers.all.at(i - 1)?.set("far", pattern(20_000));
    }
    assert.deepEqual(await peers.agree((peer) => peer.keys()), ["far"]);
  } finally {
    closeSync(file);
  }
}, PATIENCE_MS);
