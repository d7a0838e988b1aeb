// Follows the answer that `writer.ts` writes, in Bun:
//
//     bun add splinter-bus
//     bun reader.bun.ts llm.splinter
import { Splinter } from "splinter-bus";
import { read } from "./reader.ts";

// Somebody has to notice that a writer is silent: here it is the reader.
using store = Splinter.openOrCreate(Bun.argv[2], { maxValueSize: 65_536, sweepIntervalMs: 250 });
await read(store);
