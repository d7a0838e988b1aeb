import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { behaviour } from "../tests/behaviour.ts";
import { Splinter } from "./mod.ts";

setFlagsFromString("--expose-gc");

behaviour({
  test: (name, body) => Deno.test(name, body),
  Splinter,
  module: new URL("./mod.ts", import.meta.url).href,
  // Only a context made after the flag was set has it.
  collectGarbage: runInNewContext("gc"),
});
