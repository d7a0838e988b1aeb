import { headerTests } from "../tests/header.ts";
import { symbols } from "./symbols.ts";

headerTests((name, body) => Deno.test(name, body), symbols);
