// Reads the greeting that another process left and leaves one: run it beside hello.rs and hello.deno.ts.
import { Splinter } from "../ts/bun/mod.ts";

using store = Splinter.openOrCreate("./hello.splinter");
console.log(`bun found "${store.getString("greeting") ?? ""}"`);
store.set("greeting", "hello from Bun");
