import { dlopen } from "bun:ffi";
import { Splinter } from "../ts/bun/mod.ts";
import { answer } from "./wake.ts";

const [path, libPath] = Bun.argv.slice(2);
// The C library is found through the one that uses it.
const { symbols } = dlopen(libPath, { clock_gettime: { args: ["i32", "buffer"], returns: "i32" } });
await answer({
  open: () => Splinter.openOrCreate(path, { slots: 16, maxValueSize: 64, libPath }),
  clockGettime: symbols.clock_gettime,
});
