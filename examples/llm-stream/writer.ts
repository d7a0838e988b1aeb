/**
 * Writes an answer as a language model does, token by token, for any number of readers: see `reader.bun.ts`, `reader.deno.ts`
 * and `reader.rs`. For Bun and Deno.
 *
 *     bun add splinter-bus
 *     bun writer.ts llm.splinter erlkoenig.txt
 *
 * The tokens are bytes, and a token may end within a character, as those of real vocabularies do.
 */
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Splinter } from "splinter-bus";

/** After how long the readers take a silent writer for dead. */
const SILENCE_MS = 1000;
const TOKEN_MS = 2;

const [path, text] = process.argv.slice(2);
if (!text) throw new Error("usage: writer.ts STORE TEXT");

using store = Splinter.openOrCreate(path, { maxValueSize: 65_536 });
// The state first: nobody may take the length of an earlier answer for that of this one.
store.set("answer/state", {}, { ttlMs: SILENCE_MS });
store.set("answer", "");
let length = 0;
for (const token of tokens(readFileSync(text))) {
  length = store.append("answer", token);
  store.expire("answer/state", SILENCE_MS);
  await sleep(TOKEN_MS);
}
store.set("answer/state", { length });
console.log(`wrote ${length} bytes`);

/** Words with the blank before them, and of long words pieces of a few bytes. */
function* tokens(text: Uint8Array): Generator<Uint8Array> {
  const LONGEST = 6;
  for (let start = 0, end = 0; start < text.length; start = end) {
    do end++; while (end < text.length && end - start < LONGEST && text[end] !== 32 && text[end] !== 10);
    yield text.subarray(start, end);
  }
}
