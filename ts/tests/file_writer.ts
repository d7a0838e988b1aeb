/**
 * What a test has another process do until it is killed: it writes by the engine without native code, and says when it begins.
 *
 * Takes the URL of its runtime's module and the path of the store.
 */
import process from "node:process";
import type { SplinterConstructor } from "../splinter.ts";
import { PATIENCE_MS } from "./suite.ts";

const [module, path] = process.argv.slice(2);
const { Splinter }: { Splinter: SplinterConstructor } = await import(module);
using store = Splinter.open(path, { engine: "file" });
console.log("writing");
const end = Date.now() + PATIENCE_MS;
for (let i = 1; Date.now() < end; i = i % 2000 + 1) {
  const value = new Uint8Array(i).fill(i);
  store.set("stay", value);
  store.set("come", value);
  store.unset("come");
}
