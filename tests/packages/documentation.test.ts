/** What the documentation of the package for JSR must have. That its examples run is a test of Deno's. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./project.ts";

/** What `deno doc --json` says of a public symbol, as far as it is tested. */
interface Documented {
  name: string;
  declarations: { kind: string; jsDoc?: { tags?: { kind: string; doc?: string }[] } }[];
}

test("Each public symbol has an example that runs", () => {
  const { stdout, stderr } = spawnSync(join(root, "node_modules/.bin/deno"), ["doc", "--json", "ts/deno/mod.ts"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const modules = Object.values(JSON.parse(stdout || "{}").nodes ?? {}) as { symbols: Documented[] }[];
  const symbols = modules.flatMap((module) => module.symbols);
  assert.ok(symbols.some(({ name }) => name === "Splinter"), stderr);
  const without = symbols.filter(({ declarations }) =>
    declarations.some(({ jsDoc }) =>
      !jsDoc?.tags?.some(({ kind, doc }) => kind === "example" && /^```ts\n[^]*@splinter\/ffi/m.test(doc ?? ""))
    )
  );
  assert.deepEqual(without.map(({ name }) => name), []);
});
