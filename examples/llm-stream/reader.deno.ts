// Follows the answer that `writer.ts` writes, in Deno:
//
//     deno add jsr:@splinter/ffi
//     deno run --allow-ffi --allow-read --allow-write reader.deno.ts llm.splinter
import { Splinter } from "@splinter/ffi";
import { read } from "./reader.ts";

// Somebody has to notice that a writer is silent: here it is the reader.
using store = Splinter.openOrCreate(Deno.args[0], { maxValueSize: 65_536, sweepIntervalMs: 250 });
await read(store);
