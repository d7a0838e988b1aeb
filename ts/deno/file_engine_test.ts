import { fileEngineTests } from "../tests/file_engine.ts";
import { Splinter } from "./mod.ts";

fileEngineTests({
  test: (name, body) => Deno.test(name, body),
  Splinter,
  module: new URL("./mod.ts", import.meta.url).href,
  collectGarbage() {},
}, true);
