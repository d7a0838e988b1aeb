import { Splinter } from "../../ts/deno/mod.ts";
import { readProc } from "./reader.ts";

await readProc({ name: "deno", version: Deno.version.deno, open: () => Splinter.openOrCreate(Deno.args[0]) });
