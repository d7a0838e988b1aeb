/** What the documentation shows: each program runs, each command prints what stands below it, each link leads somewhere. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { TempDir, uniqueName } from "../../ts/tests/suite.ts";
import { checked, isShown, type Page, pages, ROOT } from "./page.ts";

const RELEASE = `${ROOT}rust/target/release`;
const BIN = `${ROOT}node_modules/.bin`;
const NAMES = ["splinterctl", "splinter_cli", "splinterpctl", "splinterp_cli"];

/** What compilers take on a machine that is busy. */
const PATIENCE = { timeout: 240_000 };

/** Made by commands that take hours, and committed with what they have found. */
const REPORTS = ["docs/benchmarks.md"];

/** Programs that follow a store for ever. tests/packages runs them, and has them hear of something. */
const ENDLESS = ["README.md"];

function run(program: string, args: string[], directory: TempDir, more: Record<string, string> = {}): string {
  const env = {
    PATH: `${directory.file("bin")}:${BIN}:${process.env.PATH}`,
    HOME: directory.path,
    CARGO_HOME: process.env.CARGO_HOME ?? `${process.env.HOME}/.cargo`,
    RUSTUP_HOME: process.env.RUSTUP_HOME ?? `${process.env.HOME}/.rustup`,
    DENO_DIR: directory.file("deno"),
    DENO_NO_PROMPT: "1",
    DENO_NO_UPDATE_CHECK: "1",
    NO_COLOR: "1",
    LANG: "C.UTF-8",
    ...more,
  };
  const options = { cwd: directory.path, env, encoding: "utf8", timeout: PATIENCE.timeout } as const;
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, options);
  assert.ok(!error, `"${program}" could not be started: ${error?.message}`);
  assert.equal(status, 0, `${program} ended with ${status ?? signal}:\n${stdout}${stderr}`);
  return stdout;
}

/** Puts the files of a page, and the programs that it uses, where its session finds them. */
function furnish(page: Page, directory: TempDir): void {
  for (const { file, text } of page.blocks) {
    if (file !== undefined) writeFileSync(directory.file(file), text);
  }
  mkdirSync(directory.file("bin"));
  for (const name of NAMES) symlinkSync(`${RELEASE}/splinterctl`, directory.file(`bin/${name}`));
}

/** Types what a page shows into a shell, and compares what that prints. */
function session(page: Page): void {
  using directory = new TempDir();
  furnish(page, directory);
  const commands = page.commands();
  // As typed, but with shared memory that nobody else has.
  const store = uniqueName();
  const own = (text: string) => text.replaceAll(/\bdemo\b/g, store);
  // Each command is followed by its status, which the next one may ask for.
  const mark = uniqueName();
  const ends = `ended() { local status=$?; printf '${mark} %s\\n' "$status"; return "$status"; }`;
  const script = ["exec 2>&1", "shopt -s expand_aliases", ends];
  for (const { typed } of commands) script.push(own(typed), "ended");
  script.push("exit 0");
  writeFileSync(directory.file(".session"), script.join("\n"));
  const output = run("bash", ["--norc", directory.file(".session")], directory, {
    LD_LIBRARY_PATH: `${RELEASE}/c/lib`,
    PKG_CONFIG_PATH: `${RELEASE}/c/lib/pkgconfig`,
  });
  rmSync(`/dev/shm/${store}`, { force: true });
  const found = output.split(new RegExp(`${mark} (\\d+)\n`));
  for (const [i, { line, typed, shown }] of commands.entries()) {
    const [text, status] = found.slice(2 * i);
    const at = `${page.name}:${line}: ${typed}`;
    assert.ok(isShown(text, own(shown)), `${at}\nprinted:\n${text}\nand not:\n${own(shown)}`);
    const isAsked = commands[i + 1]?.typed.includes("$?");
    assert.ok(status === "0" || isAsked, `${at}\nended with ${status}:\n${text}`);
  }
}

/** The name of the file that is a page's program. */
function programName(page: Page): string {
  return `${page.name.replaceAll(/\W/g, "_")}.ts`;
}

const all = pages();

for (const page of all.filter((page) => page.commands().length > 0)) {
  test(`The commands of ${page.name} print what it shows`, () => session(page), PATIENCE);
}

test("The programs in TypeScript are right, and do in Deno and Bun what they say", () => {
  using directory = new TempDir();
  const deno = `file://${ROOT}ts/deno/mod.ts`;
  const imports = { "@splinter/ffi": deno, "jsr:@splinter/ffi": deno };
  writeFileSync(directory.file("deno.json"), JSON.stringify({ imports }));
  symlinkSync(`${ROOT}node_modules`, directory.file("node_modules"));
  const programs = all.filter((page) => page.program("ts").length > 0);
  assert.ok(programs.length > 1);
  for (const page of programs) {
    writeFileSync(directory.file(programName(page)), checked(page.name, page.program("ts")));
  }
  run("deno", ["check", "--quiet", ...programs.map(programName)], directory);
  for (const page of programs.filter(({ name }) => !ENDLESS.includes(name))) {
    run("deno", ["run", "--quiet", "--no-check", "--allow-all", programName(page)], directory);
    using place = new TempDir();
    const text = checked(page.name, page.program("ts"));
    const bun = text.replaceAll(/from "(jsr:)?@splinter\/ffi"/g, `from "${ROOT}ts/bun/mod.ts"`);
    writeFileSync(place.file("main.ts"), bun);
    run("bun", ["main.ts"], place);
  }
}, PATIENCE);

test("The programs in Rust run", () => {
  using directory = new TempDir();
  const programs = all.filter((page) => page.program("rust").length > 0);
  assert.ok(programs.length > 1);
  const functions = programs.map((page, i) => {
    const body = page.program("rust").map(({ line, text }) => `// ${page.name}:${line}\n${text}`).join("\n");
    return `fn page_${i}() -> Result<(), Box<dyn std::error::Error>> {\n${body}\nOk(())\n}\n`;
  });
  const calls = programs.map((_, i) => `page_${i}()?;`).join(" ");
  const main = `fn main() -> Result<(), Box<dyn std::error::Error>> { ${calls} Ok(()) }\n`;
  writeFileSync(directory.file("main.rs"), [...functions, main].join("\n"));
  const found = ["--extern", `splinter=${RELEASE}/libsplinter.rlib`, "-L", `dependency=${RELEASE}/deps`];
  run("rustc", ["--edition=2024", "-Dwarnings", ...found, "-o", "main", "main.rs"], directory);
  run("./main", [], directory);
}, PATIENCE);

test("What a transcript shows is compared word by word", () => {
  assert.ok(isShown("a\nb  \n\n", "a\nb\n") && isShown("hash: 7\n", "hash: …\n") && isShown("a\nb\nc", "a\n…\nc"));
  assert.ok(isShown("", "") && isShown("anything\nat all", "…\n"));
  assert.ok(!isShown("a\nb", "a") && !isShown("a", "a\nb") && !isShown("x", "") && !isShown("ab", "a.b"));
  assert.ok(!isShown("hash: 7\nmore", "hash: …") && !isShown("a b", "a …c"));
  const program = [{ language: "ts", line: 1, text: "  console.log(1 + 1); // 3\nconsole.log(2); // two\n" }];
  assert.match(checked("page", program), /^ {2}same\(1 \+ 1, 3\);\nconsole\.log\(2\); \/\/ two$/m);
});

test("Nearly all that is shown is run", () => {
  const blocks = all.flatMap((page) => page.blocks);
  const idle = blocks.filter(({ notRun }) => notRun !== undefined);
  assert.ok(idle.length * 10 < blocks.length, `${idle.length} of ${blocks.length} are not run`);
});

test("Each file that is shown is used by a command that is shown", () => {
  for (const page of all) {
    const typed = page.commands().map(({ typed }) => typed).join("\n");
    for (const { file, line, language, notRun } of page.blocks) {
      if (file !== undefined) assert.ok(typed.includes(file), `${page.name}:${line}: nobody uses ${file}`);
      const isAlone = ["c", "python"].includes(language) && file === undefined && notRun === undefined;
      assert.ok(!isAlone, `${page.name}:${line}: it is no file, so nobody runs it`);
    }
  }
});

test("Each link within the repository leads somewhere", () => {
  for (const page of all) {
    for (const link of page.links()) {
      const [path, anchor] = link.split("#");
      const target = path === "" ? page.name : join(dirname(page.name), path);
      if (REPORTS.includes(target)) continue;
      assert.ok(existsSync(ROOT + target), `${page.name} has a link to ${link}`);
      const other = all.find(({ name }) => name === target);
      if (anchor === undefined || other === undefined) continue;
      const headings = [...other.text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
        heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-")
      );
      assert.ok(headings.includes(anchor), `${page.name} has a link to ${link}, where no such heading is`);
    }
  }
});
