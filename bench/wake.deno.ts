import { Splinter } from "../ts/deno/mod.ts";
import { answer } from "./wake.ts";

const [path, libPath] = Deno.args;
// The C library is found through the one that uses it.
const { symbols } = Deno.dlopen(libPath, { clock_gettime: { parameters: ["i32", "buffer"], result: "i32" } });
await answer({
  open: () => Splinter.openOrCreate(path, { slots: 16, maxValueSize: 64, libPath }),
  clockGettime: (clock, timespec) => symbols.clock_gettime(clock, timespec as Uint8Array<ArrayBuffer>),
});
