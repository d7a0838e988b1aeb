import { test } from "bun:test";
import { behaviour } from "../tests/behaviour.ts";
import { PATIENCE_MS } from "../tests/suite.ts";
import { Splinter } from "./mod.ts";

behaviour({
  test: (name, body) => test(name, body, 2 * PATIENCE_MS),
  Splinter,
  module: new URL("./mod.ts", import.meta.url).href,
  collectGarbage: () => Bun.gc(true),
});
