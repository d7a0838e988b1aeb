/**
 * Asks for things that take their time to make: start several at once, of the same names.
 *
 *     bun add splinter-bus
 *     bun ask.ts cache.splinter apple pear & bun ask.ts cache.splinter pear apple
 *
 * In Deno: `deno run --allow-ffi --allow-read --allow-write ask.ts cache.splinter apple`.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Cache } from "./cache.ts";

const [path, ...names] = process.argv.slice(2);
if (names.length === 0) throw new Error("usage: ask.ts STORE NAME...");

using cache = new Cache(path, { entries: 100, maxValueSize: 4096, ttlMs: 60_000 });
await Promise.all(names.map(async (name) => {
  const answer = await cache.get(name, async () => {
    console.log(`making ${name}`);
    await sleep(300);
    return { text: `all about ${name}`, by: process.pid };
  });
  console.log(`${answer.text}, made by ${answer.by}`);
}));
