/** What one runtime sets is what every other gets, byte for byte, whatever the store lives in. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer, isUtf8 } from "node:buffer";
import { PATIENCE_MS, pattern } from "../../ts/tests/suite.ts";
import { KINDS, Peers, Shared } from "./peers.ts";

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

const MAX_KEY_BYTES = 64;
/** Not a multiple of anything, and more than the clients keep room for. */
const MAX_VALUE_BYTES = 70_001;

const TEXTS = [
  "grüße",
  "日本語",
  "\u{10ffff}",
  "\u{1f600}".repeat(9),
  "\ufeffmarked",
  "a\0b",
  "9007199254740993",
  "\ud7ff\ue000",
];

const VALUES = [
  [],
  [0x00],
  [0xff],
  Array.from({ length: 256 }, (_, i) => i),
  // Not UTF-8: a lone continuation, truncated sequences, an overlong one, a surrogate, and more than U+10FFFF.
  [0x80],
  [0x61, 0xe6, 0x97],
  [0xf0, 0x9f, 0x98, 0x61],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  // The ends of 64-bit numbers.
  ...[0n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n].map((number) =>
    new Uint8Array(new BigUint64Array([number]).buffer)
  ),
  ...TEXTS.map((text) => Buffer.from(text)),
  ...[63, 64, 65, 4096, 65_536, 65_537, MAX_VALUE_BYTES - 1, MAX_VALUE_BYTES].map(pattern),
].map((bytes) => Buffer.from(bytes));

const KEYS = [
  "a",
  "\x01",
  "\x7f",
  "x".repeat(MAX_KEY_BYTES - 1),
  "x".repeat(MAX_KEY_BYTES),
  // These differ in the last byte alone.
  "x".repeat(MAX_KEY_BYTES - 1) + "y",
  "größe",
  "ß",
  "日本語",
  "\u{1f600}",
  "\u{10ffff}",
  "\ufeffmarked",
  "ß".repeat(MAX_KEY_BYTES / 2),
  "x" + "日".repeat(MAX_KEY_BYTES / 3),
  "\u{10ffff}".repeat(MAX_KEY_BYTES / 4),
  "\u{10ffff}".repeat(MAX_KEY_BYTES / 4 - 1) + "\u{10fffe}",
  // Composed and not: the same to readers, not to a store.
  "\u00e9",
  "e\u0301",
];

const GEOMETRY = { slots: 64, max_key_bytes: MAX_KEY_BYTES, max_value_bytes: MAX_VALUE_BYTES };

for (const kind of KINDS) {
  for (const writer of peers.all) {
    test(`A value that ${writer.name} sets in ${kind} is in all others what it is`, async () => {
      await using _ = await Shared.make(peers, GEOMETRY, kind, writer);
      for (const value of VALUES) {
        await writer.set("value", value);
        assert.deepEqual(await peers.agree((peer) => peer.get("value")), value);
      }
    }, PATIENCE_MS);

    test(`A key that ${writer.name} sets in ${kind} is in all others the same`, async () => {
      await using _ = await Shared.make(peers, GEOMETRY, kind, writer);
      for (const key of KEYS) {
        assert.equal(await peers.agree((peer) => peer.has(key)), false);
        await writer.set(key, key);
      }
      for (const key of KEYS) {
        assert.equal(await peers.agree((peer) => peer.has(key)), true);
        assert.deepEqual(await peers.agree((peer) => peer.get(key)), Buffer.from(key));
      }
      assert.deepEqual(await peers.agree((peer) => peer.keys()), KEYS.toSorted());
    }, PATIENCE_MS);
  }
}

// To C, text is bytes.
const textual = peers.all.filter(({ name }) => name !== "c");

for (const writer of textual) {
  test(`A text that ${writer.name} sets is the same text and the same bytes in all others`, async () => {
    await using _ = await Shared.make(peers, GEOMETRY);
    for (const text of [...TEXTS, "日本語".repeat(MAX_VALUE_BYTES / 9)]) {
      await writer.setText("text", text);
      assert.deepEqual(await peers.agree((peer) => peer.get("text")), Buffer.from(text));
      for (const reader of textual) assert.equal(await reader.getText("text"), text, reader.name);
    }
  }, PATIENCE_MS);
}

test("Bytes that are no text are the same text in all runtimes", async () => {
  await using _ = await Shared.make(peers, GEOMETRY);
  for (const value of VALUES.filter((value) => !isUtf8(value))) {
    await peers.all[0].set("bytes", value);
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(value);
    for (const reader of textual) assert.equal(await reader.getText("bytes"), text, reader.name);
  }
}, PATIENCE_MS);

test("Of a store with the shortest keys and values each runtime uses all", async () => {
  await using _ = await Shared.make(peers, { slots: 1, max_key_bytes: 1, max_value_bytes: 1 });
  for (const writer of peers.all) {
    await writer.set("k", new Uint8Array([0xff]));
    assert.deepEqual(await peers.agree((peer) => peer.get("k")), Buffer.from([0xff]));
    await writer.set("k", "");
    assert.deepEqual(await peers.agree((peer) => peer.get("k")), Buffer.alloc(0));
  }
}, PATIENCE_MS);

test("What one sets another deletes, and nobody has it any more", async () => {
  await using _ = await Shared.make(peers, GEOMETRY);
  for (const setter of peers.all) {
    for (const deleter of peers.all) {
      for (const value of VALUES) {
        await setter.set("schlüssel", value);
        assert.equal(await deleter.unset("schlüssel"), value.length);
        assert.equal(await peers.agree((peer) => peer.unset("schlüssel")), null);
        assert.equal(await peers.agree((peer) => peer.get("schlüssel")), null);
        assert.equal(await peers.agree((peer) => peer.has("schlüssel")), false);
        assert.equal(await peers.agree((peer) => peer.epoch("schlüssel")), null);
        assert.equal(await peers.agree((peer) => peer.slot("schlüssel")), null);
      }
    }
  }
  assert.deepEqual(await peers.agree((peer) => peer.keys()), []);
}, PATIENCE_MS);

test("A read-only handle of any runtime reads what any other sets", async () => {
  await using store = await Shared.make(peers, GEOMETRY);
  for (const reader of peers.all) {
    await reader.open({ ...store.opening, read_only: true });
    for (const writer of peers.others(reader)) {
      for (const value of VALUES) {
        await writer.set("value", value);
        assert.deepEqual(await reader.get("value"), value);
      }
    }
    await reader.open(store.opening);
  }
}, PATIENCE_MS);
