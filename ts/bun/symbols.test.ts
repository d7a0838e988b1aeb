import { test } from "bun:test";
import { headerTests } from "../tests/header.ts";
import { symbols } from "./symbols.ts";

const signatures = Object.entries(symbols).map(([name, { args, returns }]) => [
  name,
  { parameters: args.map(spelledOut), result: spelledOut(returns) },
]);

headerTests((name, body) => void test(name, body), Object.fromEntries(signatures));

/** Bun's names, but for one, are those of the header tests. */
function spelledOut(type: string): string {
  return type === "ptr" ? "pointer" : type;
}
