/** What the command line writes is what every runtime reads, and the other way round. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { PATIENCE_MS, pattern, TempDir, uniqueName } from "../../ts/tests/suite.ts";
import { KINDS, type OpenCommand, Peers, Shared } from "./peers.ts";

const program = fileURLToPath(new URL("../../rust/target/release/splinterctl", import.meta.url));
const peers = new Peers();
afterAll(() => peers[Symbol.asyncDispose]());

const VALUES = ["", "hello, world", "grüße\0日本\u{10ffff}", "\x1b[2J\n", pattern(4096)].map((value) =>
  Buffer.from(value as Uint8Array)
);
const KEYS = ["foo", "größe/日本", "two words", "\x01\x1b"];
const NO_SUCH_KEY = 3;

/** How the command line opens what a runtime opens so. */
function argumentsFor({ name, memory }: OpenCommand): string[] {
  return [memory ? "--memory" : "--persistent", "--use", name ?? ""];
}

/** Runs a command, and returns what it prints. */
function run(args: string[], input: Uint8Array = Buffer.alloc(0), status = 0): Buffer {
  assert.ok(existsSync(program), `"${program}" is missing: scripts/test builds what the tests need`);
  const done = spawnSync(program, args, { input, maxBuffer: 1 << 24, timeout: PATIENCE_MS });
  assert.equal(done.status, status, `${args.join(" ")}: ${done.error ?? done.stderr}`);
  return done.stdout;
}

for (const kind of KINDS) {
  test(`What the command line sets in ${kind} is in all runtimes what it is`, async () => {
    await using store = await Shared.make(peers, {}, kind);
    const cli = argumentsFor(store.opening);
    for (const [i, value] of VALUES.entries()) {
      const key = KEYS[i % KEYS.length];
      run([...cli, "set", key, "-"], value);
      assert.deepEqual(await peers.agree((peer) => peer.get(key)), value);
    }
    const keys = JSON.parse(run([...cli, "list", "--json"]).toString()) as { key: string }[];
    assert.deepEqual(await peers.agree((peer) => peer.keys()), keys.map(({ key }) => key).sort());
    for (const key of KEYS) {
      run([...cli, "unset", key]);
      assert.equal(await peers.agree((peer) => peer.get(key)), null);
    }
  }, PATIENCE_MS);

  test(`What any runtime sets in ${kind} is in the command line what it is`, async () => {
    await using store = await Shared.make(peers, {}, kind);
    const cli = argumentsFor(store.opening);
    for (const writer of peers.all) {
      for (const [i, value] of VALUES.entries()) {
        const key = KEYS[i % KEYS.length];
        await writer.set(key, value);
        assert.deepEqual(run([...cli, "get", "--raw", key]), value);
        const { epoch } = JSON.parse(run([...cli, "head", "--json", key]).toString());
        assert.equal(await writer.epoch(key), BigInt(epoch));
      }
      await writer.unset(KEYS[0]);
      run([...cli, "get", KEYS[0]], undefined, NO_SUCH_KEY);
    }
  }, PATIENCE_MS);
}

test("A store that the command line makes is opened by all, and its changes wake them", async () => {
  using dir = new TempDir();
  const openings: OpenCommand[] = [
    { how: "open", name: dir.file() },
    { how: "open", name: uniqueName(), memory: true },
  ];
  for (const opening of openings) {
    const cli = argumentsFor(opening);
    try {
      run([cli[0], "init", opening.name ?? "", "16", "128"]);
      await peers.agree((peer) => peer.open({ ...opening, slots: 16, max_value_bytes: 128 }).then(() => true));
      const woken = peers.all.map((peer) => peer.poll("key"));
      await Promise.all(peers.all.map((peer) => peer.sleeps()));
      run([...cli, "set", "key", "value"]);
      assert.deepEqual(await Promise.all(woken), peers.all.map(() => true));
      assert.equal((await peers.agree((peer) => peer.get("key")))?.toString(), "value");
    } finally {
      run([cli[0], "drop", "--yes", opening.name ?? ""]);
    }
  }
}, PATIENCE_MS);

test("A backup of the command line, and an export that it imports again, are the store", async () => {
  await using store = await Shared.make(peers);
  const cli = argumentsFor(store.opening);
  using dir = new TempDir();
  for (const [i, value] of VALUES.entries()) await peers.of("rust").set(`key${i}`, value);
  run([...cli, "backup", dir.file("backup")]);
  run(["--persistent", "init", dir.file("copy")]);
  run(["--persistent", "--use", dir.file("copy"), "import", "-"], run([...cli, "export", "--values"]));
  for (const name of ["backup", "copy"]) {
    await peers.agree((peer) => peer.open({ how: "open", name: dir.file(name) }).then(() => true));
    for (const [i, value] of VALUES.entries()) {
      assert.deepEqual(await peers.agree((peer) => peer.get(`key${i}`)), value);
    }
  }
}, PATIENCE_MS);
