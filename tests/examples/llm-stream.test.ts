/** The stream of tokens: every reader, in every runtime, has the whole text in the end, whenever it joins. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Splinter } from "splinter-bus";
import { PATIENCE_MS, soon, TempDir, until } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { bun, deno, example, RELEASE } from "./program.ts";

const TEXT = example("llm-stream/erlkoenig.txt");
const text = readFileSync(TEXT, "utf8");

const READERS = {
  rust: (store: string) => [`${RELEASE}/examples/llm_reader`, store],
  deno: (store: string) => deno([], "llm-stream/reader.deno.ts", store),
  bun: (store: string) => bun("llm-stream/reader.bun.ts", store),
};

test(
  "readers in three runtimes have the whole text, whether they join before, during or after its writing",
  async () => {
    using directory = new TempDir();
    const start = () => Object.values(READERS).map((reader) => new Program(reader(directory.file()), directory.path));
    const readers = start();
    const writing = new Program(bun("llm-stream/writer.ts", directory.file(), TEXT), directory.path);
    await Promise.all(readers.map((reader) => reader.prints(/^Erlk/)));
    assert.ok(!writing.output.includes("wrote"), "The readers did not read while the writer wrote");
    readers.push(...start());
    assert.equal(await writing.succeeds(), `wrote ${Buffer.byteLength(text)} bytes\n`);
    readers.push(...start());
    for (const reader of readers) assert.equal(await reader.succeeds(), text);
  },
  PATIENCE_MS,
);

test("readers hear of the death of a writer, and read on when another begins anew", async () => {
  using directory = new TempDir();
  const readers = Object.values(READERS).map((reader) => new Program(reader(directory.file()), directory.path));
  await using victim = new Program(bun("llm-stream/writer.ts", directory.file(), TEXT), directory.path);
  await Promise.all(readers.map((reader) => reader.prints(/^Erlk/)));
  await victim.kill();
  for (const reader of readers) {
    assert.equal(await soon(reader.ended), 1);
    assert.match(reader.output, /the writer has died/i);
  }

  using store = Splinter.open(directory.file());
  await until(() => !store.has("answer/state"));
  const late = Object.values(READERS).map((reader) => new Program(reader(directory.file()), directory.path));
  await Promise.all(late.map((reader) => reader.prints(/^Erlk/)));
  const writing = new Program(deno([], "llm-stream/writer.ts", directory.file(), TEXT), directory.path);
  await writing.succeeds();
  for (const reader of late) {
    const [, whole] = (await reader.succeeds()).split("\n--- the answer begins anew ---\n");
    assert.equal(whole, text);
  }
}, PATIENCE_MS);

test("a reader that hears of the end first reads to the end all the same", async () => {
  for (const reader of Object.values(READERS)) {
    using directory = new TempDir();
    using store = Splinter.create(directory.file(), { maxValueSize: 65_536 });
    store.set("answer/state", {});
    store.set("answer", "begin,");
    const reading = new Program(reader(directory.file()), directory.path);
    await reading.prints(/^begin,/);
    // The state changes first, and what is told of it is what it is when it is told.
    store.set("answer/state", {});
    const length = store.append("answer", "end");
    store.set("answer/state", { length });
    assert.equal(await reading.succeeds(), "begin,end");
  }
}, PATIENCE_MS);
