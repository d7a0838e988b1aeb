/** What scripts/pack makes: which files are published, and that all of it has one version. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { filesIn, name, packages, platform, readJson, root, tarball, version } from "./project.ts";

const LICENCES = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"];

/** The files of a tarball, without the directory that holds them. */
function contents(path: string): string[] {
  const { stdout } = spawnSync("tar", ["--list", "--gzip", "--file", path], { encoding: "utf8" });
  return stdout.trimEnd().split("\n").map((file) => file.replace(/^[^/]*\//, "")).sort();
}

function read(...path: string[]): string {
  return readFileSync(join(root, ...path), "utf8");
}

test("The package for npm has these files and no others", () => {
  assert.deepEqual(contents(tarball), [
    "CHANGELOG.md",
    ...LICENCES,
    "README.md",
    "bun.js",
    "deno.js",
    "native.js",
    "package.json",
    "shared.js",
    "types/bun/mod.d.ts",
    "types/errors.d.ts",
    "types/platform.d.ts",
    "types/splinter.d.ts",
    "types/store.d.ts",
    "types/types.d.ts",
    "unsupported.cjs",
  ]);
});

test("Nothing runs when a package for npm is installed, and nothing else comes with it", () => {
  for (const directory of [name, platform.directory]) {
    const manifest = readJson(join(packages, "npm", directory, "package.json"));
    for (const field of ["scripts", "dependencies", "devDependencies", "peerDependencies", "private"]) {
      assert.ok(!(field in manifest), `${directory} has ${field}`);
    }
  }
});

test("The package for npm wants those of the platforms that were packed, and no others", () => {
  const directories = readdirSync(join(packages, "npm"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory()
  );
  const packed = directories.map((entry) => readJson(join(packages, "npm", entry.name, "package.json")).name);
  const wanted = Object.keys(readJson(join(packages, "npm", name, "package.json")).optionalDependencies ?? {});
  assert.ok(wanted.includes(platform.name));
  assert.deepEqual(wanted.sort(), packed.filter((packed) => packed !== name).sort());
});

test("The package of a platform has the library without what debuggers read, and is for that platform alone", () => {
  assert.deepEqual(contents(platform.tarball), [...LICENCES, "README.md", "libsplinter_bus.so", "package.json"]);
  const manifest = readJson(join(packages, "npm", platform.directory, "package.json"));
  assert.equal(manifest.name, platform.name);
  assert.deepEqual([manifest.os, manifest.cpu, manifest.libc], [["linux"], [process.arch], ["glibc"]]);
  const { stdout } = spawnSync(
    "readelf",
    ["--wide", "--section-headers", join(packages, "npm", platform.directory, "libsplinter_bus.so")],
    { encoding: "utf8" },
  );
  assert.match(stdout, /\.dynsym/);
  assert.doesNotMatch(stdout, /\.symtab|\.debug/);
});

test("The package for JSR has the sources for Deno and no others", () => {
  const files = filesIn(join(packages, "jsr"));
  assert.deepEqual(files.filter((file) => !file.startsWith("ts/")), [
    "CHANGELOG.md",
    ...LICENCES,
    "README.md",
    "deno.json",
  ]);
  assert.ok(files.includes("ts/deno/mod.ts") && files.includes("ts/platform.ts"));
  assert.deepEqual(files.filter((file) => /test|bun|peer|worker/.test(file)), []);
});

test("The crates have their sources, their licences and the README, and no others", () => {
  for (const [crate, more] of [["splinter-bus", []], ["splinter-bus-cli", ["build.rs"]]] as const) {
    const files = contents(join(packages, `crates/${crate}-${version}.crate`));
    assert.deepEqual(files.filter((file) => !file.startsWith("src/")), [
      ".cargo_vcs_info.json",
      "Cargo.lock",
      "Cargo.toml",
      "Cargo.toml.orig",
      ...LICENCES,
      "README.md",
      ...more,
    ]);
    assert.ok(files.includes("src/lib.rs"));
  }
});

test("Everything has one version", () => {
  const cargo = read("rust/Cargo.toml");
  const lock = JSON.parse(read("package-lock.json"));
  const published = readJson(join(packages, "npm", name, "package.json"));
  const versions = {
    "package-lock.json": lock.version,
    "package-lock.json, the package": lock.packages[""].version,
    "deno.json": readJson(join(root, "deno.json")).version,
    "the workspace of crates": /^\[workspace\.package\]\nversion = "(.*)"$/m.exec(cargo)?.[1],
    "the crate that the others need": /^splinter-bus = .*version = "(.*)"/m.exec(cargo)?.[1],
    "the package for npm": published.version,
    "the package of the platform": readJson(join(packages, "npm", platform.directory, "package.json")).version,
    "the package for JSR": readJson(join(packages, "jsr/deno.json")).version,
    "what the package for JSR imports": /"npm:splinter-bus@(.*)\/native"/.exec(
      readFileSync(join(packages, "jsr/ts/platform.ts"), "utf8"),
    )?.[1],
    ...published.optionalDependencies,
  };
  for (const [place, found] of Object.entries(versions)) assert.equal(found, version, place);
  assert.match(read("CHANGELOG.md"), new RegExp(`^## \\[(Unreleased|${RegExp.escape(version)})\\]`, "m"));
  for (const crate of ["core", "cli", "ffi", "libsplinter", "fuzz"]) {
    assert.match(read("rust", crate, "Cargo.toml"), /^version\.workspace = true$/m, crate);
  }
});
