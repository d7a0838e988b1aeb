/** scripts/install, as somebody runs it: what it puts in place works, and what it takes away is all of that and nothing else. */
import { afterAll, test } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { PATIENCE_MS } from "../../ts/tests/suite.ts";

const NAMES = ["splinterctl", "splinter_cli", "splinterpctl", "splinterp_cli"];
const LIST = "share/splinter/installed";
/** For a build that has to look whether anything changed, with other tests around it. */
const BUILD_PATIENCE_MS = 4 * PATIENCE_MS;

const directory = mkdtempSync(join(tmpdir(), "splinter-install-test-"));
const prefix = join(directory, "with a space");
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function run(program: string, args: string[], env: Record<string, string> = {}, status = 0) {
  const done = spawnSync(program, args, {
    cwd: directory,
    env: { ...process.env, ...env },
    encoding: "utf8",
    timeout: BUILD_PATIENCE_MS,
  });
  assert.equal(done.status, status, `${program} ${args.join(" ")}: ${done.error ?? done.stderr}`);
  return done;
}

function install(args: string[] = [], status = 0) {
  return run(
    fileURLToPath(new URL("../../scripts/install", import.meta.url)),
    ["--prefix", prefix, ...args],
    {},
    status,
  );
}

/** Everything below the prefix that is no directory. */
function files(): string[] {
  const entries = readdirSync(prefix, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(prefix.length + 1))
    .sort();
}

function listed(): string[] {
  return readFileSync(join(prefix, LIST), "utf8").trimEnd().split("\n").sort();
}

/** Whether a program can be had here. Where it cannot, what is for it is only looked at. */
function has(program: string): boolean {
  return spawnSync("sh", ["-c", `command -v ${program}`]).status === 0;
}

test("An install puts exactly what its list names in place", () => {
  const { stdout } = install();
  assert.ok(stdout.includes(`Installed in ${prefix}: ${NAMES.join(" ")}`), stdout);
  assert.deepEqual(files(), listed());
  // With the libraries for C, and what finds them.
  for (const library of ["splinter", "splinter_p"]) {
    for (const name of [`lib${library}.so`, `lib${library}.a`, `pkgconfig/${library}.pc`]) {
      assert.ok(listed().includes(`lib/${name}`), name);
    }
  }
  for (const header of ["splinter.h", "splinter_bus.h"]) assert.ok(listed().includes(`include/${header}`), header);
}, BUILD_PATIENCE_MS);

test("Each of the four names is a program that knows its name", () => {
  for (const name of NAMES) {
    const { stdout } = run(join(prefix, "bin", name), ["--version"]);
    assert.match(stdout, new RegExp(`^${name} version \\S+ build \\S+\n$`));
  }
});

test("Each shell can load the completions of each name", () => {
  for (const name of NAMES) {
    const of = {
      bash: join(prefix, "share/bash-completion/completions", name),
      zsh: join(prefix, "share/zsh/site-functions", `_${name}`),
      fish: join(prefix, "share/fish/vendor_completions.d", `${name}.fish`),
    };
    // As bash completes a word: the function is called with what was typed, and leaves what it could be.
    const script = `. "$1" && complete -p "$2" && COMP_WORDS=("$2" uns) COMP_CWORD=1 && ` +
      `"_$2" "$2" uns "$2" && printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = run("bash", ["--norc", "-c", script, "bash", of.bash, name]);
    assert.match(stdout, new RegExp(`^complete .*${name}\n`));
    assert.ok(stdout.endsWith("\nunset\n"), stdout);
    assert.ok(readFileSync(of.zsh, "utf8").startsWith(`#compdef ${name}\n`));
    assert.ok(readFileSync(of.fish, "utf8").includes(`-c ${name} `));
    if (has("zsh")) run("zsh", ["-n", of.zsh]);
    if (has("fish")) run("fish", ["--no-execute", of.fish]);
  }
});

test("Each page of the manual can be read", () => {
  const pages = readdirSync(join(prefix, "share/man/man1"));
  const commands = JSON.parse(run(join(prefix, "bin/splinterctl"), ["help", "--json"]).stdout) as { command: string }[];
  for (const page of [...NAMES, ...commands.map(({ command }) => `splinterctl-${command}`)]) {
    assert.ok(pages.includes(`${page}.1`), page);
  }
  if (!has("man") || run("man", ["--version"]).stdout.includes("minimized")) return;
  const manual = { MANPATH: join(prefix, "share/man"), MANPAGER: "cat", MANWIDTH: "100", LC_ALL: "C" };
  for (const page of [...NAMES, "splinterctl-set"]) {
    const { stdout } = run("man", [page], manual);
    assert.ok(stdout.includes("NAME") && stdout.includes("splinterctl"), `${page}: ${stdout}`);
  }
});

test(
  "An install over another leaves nothing of it that is no part of this one, and keeps what others put there",
  () => {
    const foreign = "share/man/man1/another.1";
    writeFileSync(join(prefix, foreign), "another program's\n");
    mkdirSync(join(prefix, "share/old"));
    writeFileSync(join(prefix, "share/old/file"), "of an earlier version\n");
    appendFileSync(join(prefix, LIST), "share/old/file\n");
    install();
    assert.ok(!existsSync(join(prefix, "share/old")));
    assert.deepEqual(files(), [...listed(), foreign].sort());
    run(join(prefix, "bin/splinter_cli"), ["--version"]);
    install(["--uninstall"]);
    assert.deepEqual(files(), [foreign]);
    rmSync(join(prefix, foreign));
  },
  BUILD_PATIENCE_MS,
);

test("An uninstall leaves nothing, and has nothing to do the second time", () => {
  rmSync(prefix, { recursive: true });
  install();
  install(["--uninstall"]);
  assert.deepEqual(readdirSync(prefix), []);
  const { stderr } = install(["--uninstall"], 1);
  assert.ok(stderr.includes(`nothing is installed in "${prefix}"`), stderr);
}, BUILD_PATIENCE_MS);

test("A list that names what is outside is not obeyed", () => {
  const outside = join(directory, "outside");
  for (const name of ["../outside", outside]) {
    writeFileSync(outside, "another's\n");
    mkdirSync(dirname(join(prefix, LIST)), { recursive: true });
    writeFileSync(join(prefix, LIST), `${name}\n`);
    install(["--uninstall"], 1);
    assert.ok(existsSync(outside));
  }
});
