import { test } from "bun:test";
import { fileEngineTests } from "../tests/file_engine.ts";
import { PATIENCE_MS } from "../tests/suite.ts";
import { Splinter } from "./mod.ts";

fileEngineTests({
  test: (name, body) => test(name, body, 2 * PATIENCE_MS),
  Splinter,
  module: new URL("./mod.ts", import.meta.url).href,
  collectGarbage() {},
}, false);
