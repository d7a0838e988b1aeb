import { Splinter } from "../../ts/bun/mod.ts";
import { readProc } from "./reader.ts";

await readProc({ name: "bun", version: Bun.version, open: () => Splinter.openOrCreate(Bun.argv[2]) });
