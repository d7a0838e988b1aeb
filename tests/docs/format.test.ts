/** What docs/format.md says of the hash, the index and the checkpoint, by a reader that knows nothing else. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Splinter } from "../../ts/bun/mod.ts";
import { xxh3 } from "../../ts/file/xxh3.ts";
import { onDisk } from "../../ts/tests/suite.ts";

const SLOTS = 1000;
const KEY_BYTES = 64;
const VALUE_BYTES = 200;
/** As docs/format.md computes it: the map of free slots has 16 words, and that of chunks of value space one. */
const INDEX = 94208 + 16 * 8 + 64;
const CHUNKS = Math.ceil(SLOTS / 6);
const SLOT_STRIDE = 128;
const SLOT = INDEX + CHUNKS * 64;
const ATTRIBUTES = SLOT + SLOTS * SLOT_STRIDE;
const RECORD_STRIDE = 384;

/** A store with keys of which some were deleted, as it is in its file, and its checkpoint. */
function scene(): { region: Buffer; checkpoint: Buffer; kept: Map<string, string> } {
  using place = onDisk();
  const kept = new Map<string, string>();
  using store = Splinter.create(place.file(), { slots: SLOTS, maxValueSize: VALUE_BYTES });
  // From the first sync on, values get checksums.
  store.sync();
  for (let i = 0; i < SLOTS; i++) {
    kept.set(`key/${i}`, "v".repeat(i % VALUE_BYTES));
    store.set(`key/${i}`, kept.get(`key/${i}`)!);
  }
  for (let i = 0; i < SLOTS; i += 3) {
    kept.delete(`key/${i}`);
    store.unset(`key/${i}`);
  }
  store.nameLabel(5, "hot");
  store.label("key/1", { add: "hot" });
  store.sync();
  return { region: readFileSync(place.file()), checkpoint: readFileSync(`${place.file()}.checkpoint`), kept };
}

const { region, checkpoint, kept } = scene();

/** The slot of a key, by the index alone. */
function find(key: Buffer): number | undefined {
  const hash = xxh3(key, region.readBigUInt64LE(40));
  const tag = Number(hash & 0xffn) || 1;
  let chunk = Number((hash >> 32n) * BigInt(CHUNKS) >> 32n);
  for (let passed = 0; passed < CHUNKS; passed++) {
    const at = INDEX + chunk * 64;
    for (let cell = 0; cell < 12; cell++) {
      const slot = region.readUInt32LE(at + 16 + 4 * cell) - 1;
      if (region[at + cell] !== tag || slot < 0) continue;
      const start = SLOT + slot * SLOT_STRIDE + 40;
      // The key, and a zero behind it.
      if (region.subarray(start, start + key.length).equals(key) && region[start + key.length] === 0) return slot;
    }
    if (region.readUInt32LE(at + 12) === 0) return undefined;
    chunk = (chunk + 1) % CHUNKS;
  }
  return undefined;
}

test("the header's checksum is right", () => {
  assert.equal(region.readBigUInt64LE(64), xxh3(region.subarray(0, 64)));
});

test("each key is found by the index, and no key that was deleted", () => {
  const free = (slot: number) => region[94208 + (slot >> 3)] >> (slot & 7) & 1;
  const slots = new Set<number>();
  for (let i = 0; i < SLOTS; i++) {
    const key = Buffer.from(`key/${i}`);
    const slot = find(key);
    assert.equal(slot !== undefined, kept.has(`key/${i}`));
    if (slot === undefined) continue;
    assert.equal(region.readBigUInt64LE(ATTRIBUTES + 64 * slot), xxh3(key, region.readBigUInt64LE(40)));
    assert.equal(free(slot), 0);
    slots.add(slot);
  }
  assert.equal(slots.size, kept.size);
  for (let slot = 0; slot < SLOTS; slot++) assert.equal(free(slot), slots.has(slot) ? 0 : 1);
});

test("each value has its lengths and its type in the descriptor of its buffer, and a checksum that is right", () => {
  for (const [key, value] of kept) {
    const slot = find(Buffer.from(key))!;
    const at = SLOT + slot * SLOT_STRIDE;
    const sequence = region.readBigUInt64LE(at) >> 3n;
    const parity = Number(sequence & 1n);
    const descriptor = region.readBigUInt64LE(at + 16 + 8 * parity);
    const [text, checked] = [7n << 32n, 1n << 44n];
    assert.equal(descriptor, BigInt(value.length) | text | checked | BigInt(key.length) << 48n);
    const attributes = ATTRIBUTES + 64 * slot;
    const seed = sequence ^ region.readBigUInt64LE(attributes);
    const checksum = region.readUInt32LE(attributes + 40 + 4 * parity);
    assert.equal(BigInt(checksum), xxh3(Buffer.from(value), seed) & 0xffff_ffffn);
  }
});

/** Of two places the one that counts: whole, and of the greater generation. */
function newest(at: number, stride: number, bytes: (from: number) => number): number | undefined {
  const places = [at, at + stride].filter((from) =>
    from + 64 <= checkpoint.length && checkpoint.readBigUInt64LE(from + 8) > 0n &&
    checkpoint.readBigUInt64LE(from) === xxh3(checkpoint.subarray(from + 8, from + bytes(from)))
  );
  places.sort((a, b) => Number(checkpoint.readBigUInt64LE(b + 8) - checkpoint.readBigUInt64LE(a + 8)));
  return places[0];
}

test("the checkpoint has every key, and the names of labels", () => {
  assert.equal(checkpoint.toString("latin1", 8, 16), "SPLBCKP1");
  assert.equal(checkpoint.readBigUInt64LE(0), xxh3(checkpoint.subarray(8, 48)));
  assert.deepEqual(checkpoint.subarray(16, 32), region.subarray(40, 56));
  assert.equal(checkpoint.readBigUInt64LE(32), BigInt(RECORD_STRIDE));
  assert.equal(RECORD_STRIDE, Math.ceil((64 + KEY_BYTES + VALUE_BYTES) / 64) * 64);
  const summary = newest(4096, 8192, () => 4160)!;
  assert.equal(checkpoint.readUInt32LE(summary + 40) & 3, 3);
  const label = summary + 64 + 5 * 64;
  assert.equal(checkpoint.toString("utf8", label + 1, label + 1 + checkpoint[label]), "hot");
  const found = new Map<string, string>();
  for (let slot = 0; slot < SLOTS; slot++) {
    const lengths = (from: number) => [checkpoint.readUInt16LE(from + 52), checkpoint.readUInt32LE(from + 48)];
    const at = newest(20480 + 2 * slot * RECORD_STRIDE, RECORD_STRIDE, (from) => {
      const [keyBytes, valueBytes] = lengths(from);
      return 64 + keyBytes + valueBytes;
    });
    if (at === undefined) continue;
    const [keyBytes, valueBytes] = lengths(at);
    if (keyBytes === 0) continue;
    const key = checkpoint.toString("utf8", at + 64, at + 64 + keyBytes);
    found.set(key, checkpoint.toString("utf8", at + 64 + keyBytes, at + 64 + keyBytes + valueBytes));
    assert.equal(checkpoint.readBigUInt64LE(at + 32), key === "key/1" ? 1n << 5n : 0n);
    assert.equal(checkpoint[at + 54], 7);
  }
  assert.deepEqual(found, kept);
});
