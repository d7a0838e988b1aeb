// Reads the greeting that another process left and leaves one: run it beside hello.rs and hello.bun.ts.
import { Splinter } from "../ts/deno/mod.ts";

using store = Splinter.openOrCreate("./hello.splinter");
console.log(`deno found "${store.getString("greeting") ?? ""}"`);
store.set("greeting", "hello from Deno");
