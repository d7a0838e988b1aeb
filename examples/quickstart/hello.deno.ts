// Reads the greeting that another process left and leaves one: run it beside the others of this directory.
//
//     deno add jsr:@splinter/ffi
//     deno run --allow-ffi --allow-read=. --allow-write=. hello.deno.ts
import { Splinter } from "@splinter/ffi";

using store = Splinter.openOrCreate("./hello.splinter");
console.log(`deno found "${store.getString("greeting") ?? ""}"`);
store.set("greeting", "hello from Deno");
