/** The first example, in every language: each process finds what the one before it has left. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { PATIENCE_MS, TempDir } from "../../ts/tests/suite.ts";
import { bun, example, RELEASE, ROOT, run } from "./program.ts";

test("each process finds the greeting of the one before it, whatever their languages", async () => {
  using directory = new TempDir();
  const libraries = { LD_LIBRARY_PATH: `${RELEASE}/c/lib` };
  const pkgConfig = ["pkg-config", "--cflags", "--libs", "splinter_p"];
  const flags = await run(pkgConfig, directory.path, { PKG_CONFIG_PATH: `${RELEASE}/c/lib/pkgconfig` });
  const compiler = ["cc", "-Wall", "-Wextra", "-Werror", example("quickstart/hello.c"), "-o", "hello-c"];
  // Spaces in a path are escaped, so a shell takes the flags apart.
  await run(["sh", "-c", `"$@" ${flags}`, "sh", ...compiler], directory.path);
  const deno = [`${ROOT}node_modules/.bin/deno`, "run", "--quiet", `--allow-ffi=${RELEASE}`, "--allow-read=."];
  const processes = [
    ["rust", `${RELEASE}/examples/hello`],
    ["deno", ...deno, "--allow-write=.", example("quickstart/hello.deno.ts")],
    ["bun", ...bun("quickstart/hello.bun.ts")],
    ["c", "./hello-c"],
    ["python", "python3", example("quickstart/hello.py")],
    ["rust", `${RELEASE}/examples/hello`],
  ];
  const names: Record<string, string> = { rust: "Rust", deno: "Deno", bun: "Bun", c: "C", python: "Python" };
  let left = "";
  for (const [name, ...program] of processes) {
    assert.equal(await run(program, directory.path, libraries), `${name} found "${left}"\n`);
    left = `hello from ${names[name]}`;
  }
}, PATIENCE_MS);

test("the demo runs to its end and sums up", async () => {
  using directory = new TempDir();
  assert.match(await run([`${ROOT}scripts/demo`, "1"], directory.path), /write to wake/);
}, PATIENCE_MS);
