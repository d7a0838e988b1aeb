/** What goes wrong has the same number in every runtime, whichever runtime made the store. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { ERROR_NUMBERS, type ErrorCode } from "../../ts/errors.ts";
import { PATIENCE_MS, TempDir } from "../../ts/tests/suite.ts";
import { errorOf, type OpenCommand, type Peer, Peers, Shared } from "./peers.ts";

const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

/** Asserts that all fail in the same way. */
async function allFail(code: ErrorCode, task: (peer: Peer) => Promise<unknown>): Promise<void> {
  assert.equal(await peers.agree((peer) => errorOf(task(peer))), ERROR_NUMBERS[code]);
}

test("A store of another geometry than asked for is incompatible, whoever made it and whoever asks", async () => {
  const geometry = { slots: 100, max_key_bytes: 20, max_value_bytes: 300, journal_entries: 128 };
  const differences = [{ slots: 101 }, { max_key_bytes: 21 }, { max_value_bytes: 299 }, { journal_entries: 64 }];
  for (const maker of peers.all) {
    await using store = await Shared.make(peers, geometry, "a file", maker);
    for (const how of ["open", "open_or_create", "create_or_open"] as const) {
      for (const difference of differences) {
        await allFail("INCOMPATIBLE", (peer) => peer.open({ ...store.opening, how, ...geometry, ...difference }));
        await allFail("INCOMPATIBLE", (peer) => peer.open({ ...store.opening, how, ...difference }));
      }
      await peers.agree((peer) => peer.open({ ...store.opening, how, ...geometry }));
    }
    await maker.set("key", "unharmed");
    assert.equal((await peers.agree((peer) => peer.get("key")))?.toString(), "unharmed");
  }
}, PATIENCE_MS);

test("What one made another does not create again", async () => {
  for (const maker of peers.all) {
    await using store = await Shared.make(peers, {}, "shared memory", maker);
    await maker.set("key", "unharmed");
    await allFail("EXISTS", (peer) => peer.open({ ...store.opening, how: "create" }));
    await peers.agree((peer) => peer.open(store.opening));
    assert.equal((await peers.agree((peer) => peer.get("key")))?.toString(), "unharmed");
  }
}, PATIENCE_MS);

test("What one removed is gone for all", async () => {
  for (const remover of peers.all) {
    await using store = await Shared.make(peers, {}, "shared memory");
    await remover.ask("remove", { name: store.opening.name, memory: true });
    await allFail("NO_STORE", (peer) => peer.open(store.opening));
  }
}, PATIENCE_MS);

test("All who create or open one store at once have the same one", async () => {
  using dir = new TempDir();
  for (let round = 0; round < 20; round++) {
    const how = round % 2 ? "open_or_create" : "create_or_open";
    await peers.agree((peer) => peer.open({ how, name: dir.file(`${round}`) }));
    await Promise.all(peers.all.map((peer) => peer.set(peer.name, "")));
    assert.deepEqual(await peers.agree((peer) => peer.keys()), peers.all.map(({ name }) => name).sort());
  }
  await peers.agree((peer) => peer.ask("close"));
}, PATIENCE_MS);

test("What is no store is refused alike", async () => {
  using dir = new TempDir();
  await peers.all[0].open({ how: "create", name: dir.file("good"), slots: 8 });
  const good = readFileSync(dir.file("good"));
  const changed = (at: number) => {
    const copy = Buffer.from(good);
    copy[at] ^= 1;
    return copy;
  };
  const files: [name: string, content: Uint8Array | string, code: ErrorCode][] = [
    ["empty", "", "NOT_A_STORE"],
    ["text", "Some text that somebody has written.\n".repeat(1000), "NOT_A_STORE"],
    ["magic", changed(0), "NOT_A_STORE"],
    ["version", changed(4), "INCOMPATIBLE"],
    ["fingerprint", changed(8), "INCOMPATIBLE"],
    ["slots", changed(16), "CORRUPT"],
    ["header alone", good.subarray(0, 4096), "CORRUPT"],
    ["almost all", good.subarray(0, -1), "CORRUPT"],
  ];
  for (const [name, content, code] of files) {
    writeFileSync(dir.file(name), content);
    for (const read_only of [false, true]) {
      await allFail(code, (peer) => peer.open({ how: "open", name: dir.file(name), read_only }));
    }
    assert.deepEqual(readFileSync(dir.file(name)), Buffer.from(content), "an open changed the file");
  }
  mkdirSync(dir.file("directory"));
  symlinkSync(dir.file("good"), dir.file("link"));
  for (const name of ["directory", "link"]) {
    await allFail("NOT_A_STORE", (peer) => peer.open({ how: "open", name: dir.file(name) }));
  }
}, PATIENCE_MS);

test("An impossible way to open a store is refused alike", async () => {
  using dir = new TempDir();
  const impossible: [OpenCommand, ErrorCode][] = [
    [{ how: "open", name: dir.file("missing") }, "NO_STORE"],
    [{ how: "open", name: dir.file("missing/store") }, "NO_STORE"],
    [{ how: "create", name: dir.file(), slots: 2 ** 26 + 1 }, "INVALID_ARGUMENT"],
    [{ how: "create", name: dir.file(), max_key_bytes: 1025 }, "INVALID_ARGUMENT"],
    [{ how: "create", name: dir.file(), max_value_bytes: 2 ** 30 + 1 }, "INVALID_ARGUMENT"],
    [{ how: "create", name: dir.file(), read_only: true }, "INVALID_ARGUMENT"],
    [{ how: "open_or_create", name: "a/b", memory: true }, "INVALID_ARGUMENT"],
    [{ how: "open_or_create", name: "..", memory: true }, "INVALID_ARGUMENT"],
    [{ how: "open_or_create", name: "x".repeat(256), memory: true }, "INVALID_ARGUMENT"],
  ];
  for (const [command, code] of impossible) await allFail(code, (peer) => peer.open(command));
}, PATIENCE_MS);

test("A key or a value that does not fit is refused alike", async () => {
  await using _ = await Shared.make(peers, { slots: 2, max_key_bytes: 8, max_value_bytes: 80 });
  for (const key of ["x".repeat(9), "ß".repeat(4) + "x", "日本語", "\u{10ffff}\u{10ffff}x", "x".repeat(5000)]) {
    await allFail("KEY_TOO_LONG", (peer) => peer.set(key, ""));
    await allFail("KEY_TOO_LONG", (peer) => peer.get(key));
    await allFail("KEY_TOO_LONG", (peer) => peer.unset(key));
    await allFail("KEY_TOO_LONG", (peer) => peer.poll(key));
  }
  for (const key of ["", "\0", "a\0", "\0a"]) {
    await allFail("KEY_INVALID", (peer) => peer.set(key, ""));
    await allFail("KEY_INVALID", (peer) => peer.get(key));
    await allFail("KEY_INVALID", (peer) => peer.has(key));
    await allFail("KEY_INVALID", (peer) => peer.epoch(key));
    await allFail("KEY_INVALID", (peer) => peer.slot(key));
    await allFail("KEY_INVALID", (peer) => peer.unset(key));
  }
  for (const bytes of [81, 4096, 100_000]) {
    await allFail("VALUE_TOO_LARGE", (peer) => peer.set("key", new Uint8Array(bytes)));
  }
  assert.deepEqual(await peers.agree((peer) => peer.keys()), []);
  await peers.all[0].set("a", "");
  await peers.all[1].set("b", "");
  await allFail("FULL", (peer) => peer.set("c", ""));
  // What is there can still be changed, and room that one makes another can use.
  for (const [i, peer] of peers.all.entries()) {
    await peer.set("a", "changed");
    await peers.all.at(i - 1)?.unset("b");
    await peer.set("b", "");
  }
}, PATIENCE_MS);

test("A read-only handle changes nothing in any runtime", async () => {
  await using store = await Shared.make(peers);
  await peers.all[0].set("key", "value");
  await peers.agree((peer) => peer.open({ ...store.opening, read_only: true }));
  const before = readFileSync(store.path);
  await allFail("PERMISSION", (peer) => peer.set("key", "other"));
  await allFail("PERMISSION", (peer) => peer.set("new", ""));
  await allFail("PERMISSION", (peer) => peer.unset("key"));
  await allFail("PERMISSION", (peer) => peer.setAutoVacuum(false));
  assert.equal((await peers.agree((peer) => peer.get("key")))?.toString(), "value");
  assert.deepEqual(readFileSync(store.path), before);
}, PATIENCE_MS);
