/** The packages, as somebody uses them who has nothing else: installed into an empty project, without a network. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { copyFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Splinter } from "../../ts/bun/mod.ts";
import { until } from "../../ts/tests/suite.ts";
import { packages, platform, Project, root, serveNpm } from "./project.ts";
import type { Program } from "../program.ts";

/** What installers, compilers and programs take on a machine that is busy. */
const PATIENCE = { timeout: 240_000 };

/** The first example of the README, word by word but for where it imports from. */
function quickStart(from: string): string {
  const example = /^```ts\n(import \{ Splinter \}.*?)^```$/ms.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1];
  assert.ok(example, "the README has an example that begins with the import");
  return example.replace(/^import (.*?) from "[^"]*"/, `import $1 from "${from}"`);
}

/** What the example prints before it begins to watch, in this order. */
const PRINTED = [/^hello$/m, /loaded[^]*true[^]*tokens[^]*0/, /^model\/state$/m, /^5$/m];

/** Sees the example through: what it prints, and that it hears of what another process writes. */
async function follow(program: Program, project: Project): Promise<void> {
  let ended = false;
  void program.ended.then(() => ended = true);
  const says = (pattern: RegExp) => until(() => pattern.test(program.output) || ended, `never said ${pattern}`);
  for (const pattern of PRINTED) {
    await says(pattern);
    assert.match(program.output, pattern);
  }
  using store = Splinter.open(project.file("app.splinter"));
  await until(() => {
    // It may not watch yet.
    store.set("model/state", "from another process");
    return /^model\/state set /m.test(program.output) || ended;
  }, "it never heard of the change");
  assert.ok(!ended, program.output);
}

/** What Deno's user has to allow. */
function allowed(project: Project, library: string): string[] {
  const store = `${project.file("app.splinter")},${project.file("app.splinter.checkpoint")}`;
  return [`--allow-ffi=${library}`, `--allow-read=${store}`, `--allow-write=${store}`];
}

for (const installer of ["npm", "bun"] as const) {
  test(`The quick start runs in Bun after ${installer} has installed the tarballs`, async () => {
    using project = new Project();
    await project.install(installer);
    project.write("main.ts", quickStart("splinter-bus"));
    await using program = project.start("bun", ["main.ts"]);
    await follow(program, project);
  }, PATIENCE);
}

for (const from of ["splinter-bus", "npm:splinter-bus", "jsr:@splinter/ffi"]) {
  test(`The quick start runs in Deno from "${from}", with no more allowed than it takes`, async () => {
    using project = new Project();
    await project.install("npm");
    if (from.startsWith("jsr:")) project.linkJsr();
    project.write("main.ts", quickStart(from));
    const library = project.file(`node_modules/${platform.name}/libsplinter_bus.so`);
    await using program = project.start("deno", ["run", ...allowed(project, library), "main.ts"]);
    await follow(program, project);
  }, PATIENCE);
}

for (const from of ["npm:splinter-bus", "jsr:@splinter/ffi"]) {
  test(`The quick start runs in Deno from "${from}" where nothing was installed before`, async () => {
    using registry = serveNpm();
    using project = new Project(registry.url.href);
    if (from.startsWith("jsr:")) project.linkJsr();
    project.write("main.ts", quickStart(from));
    // A user who asks gets the path to allow: neither asking nor importing takes a permission.
    project.write("where.ts", 'import { libraryPath } from "npm:splinter-bus/native"; console.log(libraryPath());');
    const library = (await project.run("deno", ["run", "--quiet", "where.ts"])).trim();
    assert.ok(library.startsWith(project.file("deno/npm")), library);
    await using program = project.start("deno", ["run", ...allowed(project, library), "main.ts"]);
    await follow(program, project);
    assert.ok(!existsSync(project.file("node_modules")));
  }, PATIENCE);
}

test("The quick start runs as a program of its own that Bun has compiled, with the library in it", async () => {
  using project = new Project();
  await project.install("npm");
  project.write("main.ts", quickStart("splinter-bus"));
  await project.run("bun", ["build", "--compile", "main.ts", "--outfile", "main"]);
  using elsewhere = new Project();
  copyFileSync(project.file("main"), elsewhere.file("main"));
  await using program = elsewhere.start("./main", []);
  await follow(program, elsewhere);
}, PATIENCE);

test("The quick start runs bundled by Bun, with the library beside it", async () => {
  using project = new Project();
  await project.install("npm");
  project.write("main.ts", quickStart("splinter-bus"));
  await project.run("bun", ["build", "--target=bun", "main.ts", "--outdir", "out"]);
  using elsewhere = new Project();
  for (const file of new Bun.Glob("*").scanSync(project.file("out"))) {
    copyFileSync(join(project.file("out"), file), elsewhere.file(file));
  }
  await using program = elsewhere.start("bun", ["main.js"]);
  await follow(program, elsewhere);
}, PATIENCE);

test("A library that is beside a compiled program is named by libPath", async () => {
  using project = new Project();
  await project.install("npm");
  const library = join(packages, "npm", platform.directory, "libsplinter_bus.so");
  project.write(
    "main.ts",
    `import { Splinter } from "splinter-bus";
    import { dirname, join } from "node:path";
    using store = Splinter.anonymous({ libPath: join(dirname(process.execPath), "libsplinter_bus.so") });
    store.set("greeting", "hello");
    console.log(store.getString("greeting"));`,
  );
  await project.run("bun", ["build", "--compile", "--external=@splinter-bus/*", "main.ts", "--outfile", "main"]);
  using elsewhere = new Project();
  copyFileSync(project.file("main"), elsewhere.file("main"));
  copyFileSync(library, elsewhere.file("libsplinter_bus.so"));
  assert.equal(await elsewhere.run("./main", []), "hello\n");
}, PATIENCE);

test.skipIf(!await denoCompiles())("The quick start runs as a program of its own that Deno has compiled", async () => {
  using project = new Project();
  await project.install("npm");
  const library = `node_modules/${platform.name}/libsplinter_bus.so`;
  project.write("main.ts", quickStart("splinter-bus"));
  await project.run("deno", ["compile", "--allow-all", "--include", library, "--output", "main", "main.ts"]);
  using elsewhere = new Project();
  copyFileSync(project.file("main"), elsewhere.file("main"));
  await using program = elsewhere.start("./main", []);
  await follow(program, elsewhere);
}, PATIENCE);

/** Whether Deno can compile here: it takes the program that it puts ours into from its server, or by DENORT_BIN. */
async function denoCompiles(): Promise<boolean> {
  using project = new Project();
  project.write("empty.ts", "");
  await using compiler = project.start("deno", ["compile", "--output", "empty", "empty.ts"]);
  if (await compiler.ended === 0) return true;
  assert.match(compiler.output, /denort/);
  console.log("Nothing is compiled by Deno here: it cannot download denort, and DENORT_BIN does not name one.");
  return false;
}

test("Importing loads nothing, and the first open loads the library of the package", async () => {
  using project = new Project();
  await project.install("npm");
  project.write(
    "main.ts",
    `import { Splinter } from "splinter-bus";
    import { libraryPath } from "splinter-bus/native";
    import { readFileSync } from "node:fs";
    const isLoaded = () => readFileSync("/proc/self/maps", "utf8").includes(libraryPath());
    console.log(isLoaded());
    Splinter.anonymous().close();
    console.log(isLoaded());`,
  );
  assert.equal(await project.run("bun", ["main.ts"]), "false\ntrue\n");
  assert.equal(await project.run("deno", ["run", "--allow-all", "main.ts"]), "false\ntrue\n");
}, PATIENCE);

test("Without the platform's package the error names it, and every other place that was tried", async () => {
  using project = new Project();
  await project.install("npm");
  const nowhere = project.file("node_modules");
  project.write(
    "main.ts",
    `import { Splinter } from "splinter-bus";
    try { Splinter.anonymous(); } catch (error) { console.log(error.code, error.message); }`,
  );
  await project.run("rm", ["-r", `node_modules/${platform.name}`]);
  for (const [program, ...args] of [["bun"], ["deno", "run", "--allow-all"]]) {
    const said = await project.run(program, [...args, "main.ts"]);
    assert.match(said, /^LIBRARY_NOT_FOUND Cannot find the native library\. Tried:$/m);
    for (
      const place of [
        "SPLINTER_LIB: not set",
        `package ${platform.name}: not installed`,
        `${nowhere}/splinter-bus/libsplinter_bus.so: there is no such file`,
        "/usr/lib/libsplinter_bus.so: there is no such file",
      ]
    ) assert.ok(said.includes(`\n  ${place}`), `${program}: "${place}" is not in:\n${said}`);
  }
}, PATIENCE);

test("Node.js says what to do instead, however the package is imported", async () => {
  using project = new Project();
  await project.install("npm");
  for (
    const code of [
      'import { Splinter } from "splinter-bus"; console.log(Splinter);',
      'import * as splinter from "splinter-bus"; console.log(splinter);',
      'const { createRequire } = await import("node:module"); createRequire(import.meta.url)("splinter-bus");',
    ]
  ) {
    project.write("main.mjs", code);
    assert.match(
      await project.run("node", ["main.mjs"], 1),
      /Error: splinter-bus runs in Bun \(.*run this program with "bun FILE"/,
    );
  }
}, PATIENCE);

test("The types are right for whoever resolves modules as bundlers or Node.js do", async () => {
  using project = new Project();
  await project.install("npm");
  project.write(
    "main.ts",
    `import { type Key, type Store, Splinter, SplinterError } from "splinter-bus";
    import { libraryPath } from "splinter-bus/native";
    using store: Store = Splinter.open("app.splinter", { readOnly: true, libPath: libraryPath() });
    const key: Key = store.key("greeting");
    export const length: number | undefined = key.get()?.length;
    export const isOurs = (error: unknown): boolean => error instanceof SplinterError && error.code === "FULL";
    // @ts-expect-error A key is a string.
    store.get(1);`,
  );
  const settings = [
    "--noEmit",
    "--strict",
    "--target",
    "esnext",
    "--lib",
    "esnext,dom",
    "--types",
    "",
    "--ignoreConfig",
  ];
  for (const [module, resolution] of [["esnext", "bundler"], ["nodenext", "nodenext"]]) {
    await project.run("tsc", [...settings, "--module", module, "--moduleResolution", resolution, "main.ts"]);
  }
  await project.run("deno", ["check", "main.ts"]);
  project.linkJsr();
  project.write(
    "main.ts",
    readFileSync(project.file("main.ts"), "utf8").replace('"splinter-bus"', '"jsr:@splinter/ffi"'),
  );
  await project.run("deno", ["check", "main.ts"]);
}, PATIENCE);

test("The package for JSR can be published as it is", async () => {
  using project = new Project();
  await project.install("npm");
  project.linkJsr();
  project.write("deno.json", JSON.stringify({ workspace: ["./ffi"] }));
  const said = await project.run("sh", ["-c", "cd ffi && deno publish --dry-run --allow-dirty"]);
  assert.match(said, /Success/);
}, PATIENCE);
