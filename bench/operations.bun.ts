import { Splinter } from "../ts/bun/mod.ts";
import { measure } from "./operations.ts";

measure(Splinter, `Bun ${Bun.version}`);
