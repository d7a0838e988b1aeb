/** The cache: each value is made once, by whoever comes first, and not for ever. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { Cache } from "../../examples/cache/cache.ts";
import { PATIENCE_MS, soon, TempDir, until } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { bun, deno } from "./program.ts";

const NAMES = ["apple", "pear", "plum", "quince"];

test("processes of both runtimes that ask for the same at once make each thing once", async () => {
  using directory = new TempDir();
  const programs = [bun, (...args: Parameters<typeof bun>) => deno([], ...args)];
  const asking = [0, 1, 2, 3].map((i) =>
    new Program(programs[i % 2]("cache/ask.ts", directory.file(), ...NAMES), directory.path)
  );
  const outputs = await Promise.all(asking.map((program) => program.succeeds()));
  for (const name of NAMES) {
    assert.equal(outputs.join("").match(new RegExp(`making ${name}`, "g"))?.length, 1, name);
    const makers = outputs.map((output) => new RegExp(`all about ${name}, made by (\\d+)`).exec(output)?.[1]);
    assert.ok(makers[0]);
    assert.equal(new Set(makers).size, 1, name);
  }
}, PATIENCE_MS);

test("what a killed process was making is made by another", async () => {
  using directory = new TempDir();
  await using victim = new Program(bun("cache/ask.ts", directory.file(), "apple"), directory.path);
  await victim.prints(/making apple/);
  await victim.kill();
  await using heir = new Program(bun("cache/ask.ts", directory.file(), "apple"), directory.path);
  assert.match(await heir.succeeds(), new RegExp(`making apple\nall about apple, made by ${heir.pid}\n`));
}, PATIENCE_MS);

test("a value is made anew when it was deleted, and when its time is up", async () => {
  using directory = new TempDir();
  using cache = new Cache(directory.file(), { entries: 8, maxValueSize: 64, ttlMs: 10 * PATIENCE_MS });
  let made = 0;
  const get = (cache: Cache) => cache.get("apple", () => Promise.resolve(++made));
  assert.deepEqual([await get(cache), await get(cache)], [1, 1]);
  cache.delete("apple");
  assert.equal(await get(cache), 2);

  using brief = new Cache(directory.file("brief"), { entries: 8, maxValueSize: 64, ttlMs: 1 });
  assert.equal(await get(brief), 3);
  const start = Date.now();
  await until(() => Date.now() > start + 1);
  assert.equal(await get(brief), 4);
}, PATIENCE_MS);

test("in a full cache, what is used again and again stays", async () => {
  using directory = new TempDir();
  using cache = new Cache(directory.file(), { entries: 64, maxValueSize: 64, ttlMs: 10 * PATIENCE_MS });
  const made = { hot: 0, cold: 0 };
  const get = (name: string, kind: keyof typeof made) => cache.get(name, () => Promise.resolve(++made[kind]));
  for (let i = 0; i < 1000; i++) {
    await get(`cold/${i}`, "cold");
    await get("hot", "hot");
  }
  await get("cold/0", "cold");
  assert.equal(made.cold, 1001);
  // Which one was used least recently is known approximately. By age alone it would have been made 16 times.
  assert.ok(made.hot <= 3, `The hot value was made ${made.hot} times`);
}, PATIENCE_MS);

test("a maker that fails lets the next one try, and one that takes long keeps its turn", async () => {
  using directory = new TempDir();
  using cache = new Cache(directory.file(), { entries: 8, maxValueSize: 64, ttlMs: 10 * PATIENCE_MS });
  const failing = assert.rejects(cache.get("apple", () => Promise.reject(new Error("no apples"))), /no apples/);
  const next = cache.get("apple", () => Promise.resolve("an apple"));
  await soon(failing);
  assert.equal(await soon(next), "an apple");

  // Longer than a dead maker's turn would last.
  const slow = cache.get("pear", () => Bun.sleep(1500).then(() => "a slow pear"));
  const hasty = cache.get("pear", () => Promise.resolve("a hasty pear"));
  assert.deepEqual(await soon(Promise.all([slow, hasty])), ["a slow pear", "a slow pear"]);
}, PATIENCE_MS);
