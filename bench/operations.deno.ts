import { Splinter } from "../ts/deno/mod.ts";
import { measure } from "./operations.ts";

measure(Splinter, `Deno ${Deno.version.deno}`);
