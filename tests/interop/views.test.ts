/** What a store tells about itself is the same in every runtime. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { PATIENCE_MS, pattern } from "../../ts/tests/suite.ts";
import { Peers, Shared } from "./peers.ts";

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

test("All list the same keys, all of them and by prefix", async () => {
  // More than one page of a scan.
  await using _ = await Shared.make(peers, { slots: 2048 });
  const keys: string[] = [];
  for (const writer of peers.all) {
    for (let i = 0; i < 150; i++) {
      const key = `${i % 2 ? "größe" : "grün"}/${writer.name}/${"x".repeat(i % 40)}${i}`;
      keys.push(key);
      await writer.set(key, pattern(i));
    }
  }
  for (const prefix of ["", "g", "grö", "größe/", "größe/rust/", "grün/deno/x", "größe/bun/xxxx", "gruen", keys[7]]) {
    const wanted = keys.filter((key) => key.startsWith(prefix)).sort();
    assert.deepEqual(await peers.agree((peer) => peer.keys(prefix)), wanted);
    const entries = await peers.agree((peer) => peer.list(prefix));
    assert.deepEqual(entries.map(([key]) => key), wanted);
    for (const [key, , length] of entries) assert.equal(length, keys.indexOf(key) % 150);
  }
}, PATIENCE_MS);

test("All see the same epoch, and it grows by 2 with a change by any", async () => {
  await using _ = await Shared.make(peers);
  await peers.all[0].set("key", "");
  let epoch = await peers.agree((peer) => peer.epoch("key"));
  for (const writer of [...peers.all, ...peers.all]) {
    assert.ok(epoch !== null);
    await writer.set("key", writer.name);
    assert.equal(await peers.agree((peer) => peer.epoch("key")), epoch += 2n);
  }
}, PATIENCE_MS);

test("An epoch does not go back when one deletes the key and another sets it", async () => {
  await using _ = await Shared.make(peers, { slots: 64 });
  let last = 0n;
  for (const deleter of peers.all) {
    for (const setter of peers.all) {
      await deleter.unset("key");
      // It gets the slot, so that the key comes to another.
      await deleter.set(`other/${deleter.name}/${setter.name}`, "");
      await setter.set("key", "");
      const epoch = await peers.agree((peer) => peer.epoch("key"));
      assert.ok(epoch !== null && epoch > last && epoch % 2n === 0n);
      last = epoch;
    }
  }
}, PATIENCE_MS);

test("All see the same epoch where it outgrows smaller numbers", async () => {
  await using store = await Shared.make(peers, { slots: 64, journal_entries: 64 });
  for (const bits of [30n, 31n, 32n, 33n, 53n, 61n]) {
    await peers.all[0].set("wound", "");
    windUp(store.path, "wound", 2n ** bits - 4n);
    let epoch = await peers.agree((peer) => peer.epoch("wound"));
    assert.ok(epoch !== null && epoch < 2n ** bits);
    for (const writer of peers.all) {
      await writer.set("wound", writer.name);
      assert.equal(await peers.agree((peer) => peer.epoch("wound")), epoch += 2n);
      assert.deepEqual(await peers.agree((peer) => peer.list("wound")), [["wound", `${epoch}`, writer.name.length]]);
      assert.equal((await peers.agree((peer) => peer.slot("wound")))?.epoch, `${epoch}`);
      assert.deepEqual(await peers.agree((peer) => peer.get("wound")), Buffer.from(writer.name));
    }
    assert.ok(epoch >= 2n ** bits);
    // Nor does the key begin below that in another slot.
    for (const writer of peers.all) {
      await writer.unset("wound");
      await writer.set(`other/${bits}/${writer.name}`, "");
      await writer.set("wound", "");
      const next = await peers.agree((peer) => peer.epoch("wound"));
      assert.ok(next !== null && next > epoch);
      epoch = next;
    }
  }
}, PATIENCE_MS);

test("All see a key in the same slot, and its value stands there", async () => {
  await using store = await Shared.make(peers, { slots: 16 });
  for (const [i, writer] of peers.all.entries()) {
    const key = `größe/${writer.name}`;
    const value = Buffer.from(pattern(1000 + i));
    for (const change of [value, value.subarray(1)]) {
      await writer.set(key, change);
      const slot = await peers.agree((peer) => peer.slot(key));
      assert.equal(slot?.val_len, change.length);
      assert.equal(slot.epoch, String(await writer.epoch(key)));
      const offset = Number(slot.val_off);
      assert.deepEqual(readFileSync(store.path).subarray(offset, offset + slot.val_len), change);
    }
  }
}, PATIENCE_MS);

test("All see the same header", async () => {
  await using _ = await Shared.make(peers, { slots: 33, max_value_bytes: 77 });
  const { slots, max_val_sz, epoch } = await peers.agree((peer) => peer.header());
  assert.deepEqual({ slots, max_val_sz, epoch }, { slots: 33, max_val_sz: 77, epoch: "0" });
  for (const [i, writer] of peers.all.entries()) {
    await writer.set("key", "");
    assert.equal((await peers.agree((peer) => peer.header())).epoch, String(i + 1));
  }
}, PATIENCE_MS);

test("What one says about wiping holds for the writes of all", async () => {
  await using store = await Shared.make(peers, { slots: 8 });
  const remains = (secret: string) => readFileSync(store.path).includes(secret);
  for (const switcher of peers.all) {
    for (const on of [false, true]) {
      await switcher.setAutoVacuum(on);
      assert.equal(await peers.agree((peer) => peer.autoVacuum()), on);
      assert.equal((await peers.agree((peer) => peer.header())).auto_vacuum, Number(on));
      for (const writer of peers.all) {
        const secret = `secret of ${crypto.randomUUID()}`;
        await writer.set("key", secret);
        await writer.set("key", "");
        assert.equal(remains(secret), !on, `${writer.name} after ${switcher.name} said ${on}`);
        await writer.set("key", secret);
        await writer.unset("key");
        assert.equal(remains(secret), !on, `${writer.name} after ${switcher.name} said ${on}`);
      }
    }
  }
}, PATIENCE_MS);

/**
 * Makes an epoch of a key as large as if it had been set that often: its sequence is bits 3 to 63 of the word 40 bytes
 * before the key, by the table in layout.rs. The lowest bit of it tells where the value stands, so that it stays.
 */
function windUp(path: string, key: string, epoch: bigint): void {
  const region = readFileSync(path);
  const at = region.indexOf(key) - 40;
  assert.equal(region.lastIndexOf(key) - 40, at, "the key's bytes are not in one place");
  const state = region.readBigUInt64LE(at);
  const word = Buffer.alloc(8);
  word.writeBigUInt64LE((epoch >> 2n << 4n) | state & 0b1111n);
  const file = openSync(path, "r+");
  writeSync(file, word, 0, word.length, at);
  closeSync(file);
}
