// Reads the greeting that another process left and leaves one: run it beside the others of this directory.
//
//     bun add splinter-bus
//     bun hello.bun.ts
import { Splinter } from "splinter-bus";

using store = Splinter.openOrCreate("./hello.splinter");
console.log(`bun found "${store.getString("greeting") ?? ""}"`);
store.set("greeting", "hello from Bun");
