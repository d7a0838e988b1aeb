/** The C libraries, as scripts/lib/c_libraries.sh makes them: what they show, how programs are linked with them, and use them. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { soon, TempDir, uniqueName } from "../../ts/tests/suite.ts";
import { Peer } from "../interop/peers.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const installed = `${root}rust/target/release/c`;
const HEADERS = ["splinter.h", "splinter_bus.h"];

/** The two libraries, and what names are to them. */
const LIBRARIES = [
  { name: "splinter", kind: "memory" },
  { name: "splinter_p", kind: "file" },
] as const;
type Library = typeof LIBRARIES[number];

const C = ["cc", "-std=c11"];
const CPP = ["c++", "-x", "c++", "-std=c++17"];
const STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror"];

/** How a program is linked: with the shared library, the static one, or nothing shared at all. */
const LINKS = ["shared", "static", "wholly static"] as const;
type Link = typeof LINKS[number];

/** What a test takes that is not known beforehand. */
const PATIENCE = { timeout: 300_000 };

type Environment = Record<string, string | undefined>;
const environment: Environment = {
  ...process.env,
  PKG_CONFIG_PATH: `${installed}/lib/pkgconfig`,
  PKG_CONFIG_LIBDIR: "",
};

/** Runs a program that must succeed, and returns what it says. */
function run(program: string, args: string[], env = environment): string {
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", env });
  assert.ok(!error, `"${program}" could not be started: ${error?.message}`);
  assert.equal(status, 0, `${[program, ...args].join(" ")} ended with ${status ?? signal}\n${stdout}${stderr}`);
  return stdout;
}

/** What it says, word by word. Spaces in a path are escaped. */
function pkgConfig(...args: string[]): string[] {
  const words = run("pkg-config", args).split(/(?<!\\)\s+/);
  return words.filter((word) => word !== "").map((word) => word.replaceAll("\\ ", " "));
}

/** What is declared, without comments. */
function declarations(header: string): string {
  return readFileSync(`${installed}/include/${header}`, "utf8").replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, "");
}

function functionsOf(header: string): string[] {
  const functions = [...declarations(header).matchAll(/\b(\w+)\(/g)].map(([, name]) => name);
  assert.ok(functions.length > 10, `${header} was read`);
  return functions;
}

const functions = HEADERS.flatMap(functionsOf).sort();

/** The defined symbols that others see, without the version of all of them. */
function symbols(...args: string[]): string[] {
  const lines = run("nm", ["--defined-only", "--format=posix", ...args]).split("\n");
  // Of an archive each member has a title.
  const entries = lines.filter((line) => line !== "" && !line.endsWith(":")).map((line) => line.split(" "));
  return entries.filter(([, type]) => type !== "A").map(([name]) => name.replace(/@.*/, "")).sort();
}

/** How a program in C is compiled. */
function strictly({ name }: Library): string[] {
  return ["-std=c11", "-Wall", "-Wextra", "-Werror", ...pkgConfig("--cflags", name)];
}

/** Links a program of objects, or compiles it too. */
function link(
  compiler: string,
  objects: string[],
  { name }: Library,
  how: Link,
  to: string,
  flags: string[] = [],
): string {
  const ways = {
    "shared": [...pkgConfig("--libs", name), `-Wl,-rpath,${installed}/lib`],
    "static": [`${installed}/lib/lib${name}.a`, ...pkgConfig("--static", "--libs-only-other", name)],
    "wholly static": ["-static", ...pkgConfig("--static", "--libs", name)],
  };
  run(compiler, [...flags, ...objects, "-pthread", ...ways[how], "-o", to]);
  return to;
}

/** Compiles the program that uses everything. */
function compileAll(dir: TempDir, compiler: string[], flags: string[] = []): string[] {
  const compile = (source: string, ...more: string[]) => {
    const [command, ...standard] = compiler;
    const object = dir.file(`${basename(source)}.o`);
    const includes = pkgConfig("--cflags", "splinter");
    run(command, [
      ...standard,
      "-Wall",
      "-Wextra",
      "-Werror",
      ...flags,
      ...more,
      ...includes,
      "-c",
      source,
      "-o",
      object,
    ]);
    return object;
  };
  return [
    compile(`${root}tests/c/classic.c`),
    compile(`${root}rust/ffi/tests/c/smoke.c`, "-Dmain=handles_main"),
  ];
}

/** Calls with the name of a store for a library, and removes what is left of it. */
function withStore(dir: TempDir, { kind }: Library, use: (name: string) => void): void {
  const name = kind === "memory" ? uniqueName() : dir.file();
  try {
    use(name);
    assert.ok(!existsSync(kind === "memory" ? `/dev/shm/${name}` : name), "the program removes its store");
  } finally {
    if (kind === "memory") rmSync(`/dev/shm/${name}`, { force: true });
  }
}

/** Runs the program that uses everything, under another one if there is a prefix. */
function runAll(dir: TempDir, library: Library, program: string, prefix: string[] = [], env = environment): void {
  withStore(dir, library, (name) => {
    const [command, ...args] = [...prefix, program, name, library.kind, dir.file("another.splinter")];
    run(command, args, env);
  });
}

test("the libraries show what the headers declare, and nothing else", () => {
  assert.equal(new Set(functions).size, functions.length, "no name is declared twice");
  for (const { name } of LIBRARIES) {
    assert.deepEqual(symbols("--dynamic", `${installed}/lib/lib${name}.so`), functions);
    assert.deepEqual(symbols("--extern-only", `${installed}/lib/lib${name}.a`), functions);
  }
});

test("the program uses every function", () => {
  const sources = ["tests/c/classic.c", "rust/ffi/tests/c/smoke.c"].map((path) => readFileSync(root + path, "utf8"));
  const used = new Set([...sources.join("\n").matchAll(/\b(\w+)\(/g)].map(([, name]) => name));
  assert.deepEqual(functions.filter((name) => !used.has(name)), []);
});

test("names, versions and pkg-config agree", () => {
  const version = /^version = "(.*)"$/m.exec(readFileSync(`${root}rust/Cargo.toml`, "utf8"))?.[1];
  assert.ok(version);
  for (const { name } of LIBRARIES) {
    for (const file of [`lib${name}.so`, `lib${name}.so.0`]) {
      assert.equal(basename(realpathSync(`${installed}/lib/${file}`)), `lib${name}.so.${version}`);
    }
    const dynamic = run("readelf", ["--dynamic", "--program-headers", "--wide", `${installed}/lib/lib${name}.so`]);
    assert.match(dynamic, new RegExp(`SONAME.*\\[lib${name}\\.so\\.0\\]`));
    assert.match(dynamic, /FLAGS_1.*NOW.*NODELETE/);
    assert.match(dynamic, /GNU_RELRO/);
    assert.doesNotMatch(dynamic, /TEXTREL|RPATH|RUNPATH|GNU_STACK.*RWE/);
    assert.deepEqual(pkgConfig("--modversion", name), [version]);
    assert.deepEqual(pkgConfig("--cflags", "--libs", name), [
      `-I${installed}/include`,
      `-L${installed}/lib`,
      `-l${name}`,
    ]);
  }
});

test("the headers stand by themselves, in C and C++", () => {
  using dir = new TempDir();
  for (const header of HEADERS) {
    const source = dir.file("header.c");
    writeFileSync(source, `#include "${header}"\n#include "${header}"\nint main(void) { return 0; }\n`);
    for (const [compiler, ...standard] of [C, ["cc", "-std=c99"], CPP, ["c++", "-x", "c++", "-std=c++11"]]) {
      run(compiler, [...standard, ...STRICT, "-fsyntax-only", `-I${installed}/include`, source]);
    }
  }
});

for (const [language, compiler] of [["C", C], ["C++", CPP]] as const) {
  test(`a ${language} program can use everything, however it is linked`, () => {
    using dir = new TempDir();
    const objects = compileAll(dir, compiler);
    for (const library of LIBRARIES) {
      for (const how of LINKS) runAll(dir, library, link(compiler[0], objects, library, how, dir.file("program")));
    }
  }, PATIENCE);
}

test("memcheck finds no error and no leak", () => {
  using dir = new TempDir();
  const objects = compileAll(dir, C, ["-g"]);
  // Of forked children too. Threads take turns, and what is kept by intent until the process ends is no leak.
  const memcheck = ["valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--fair-sched=yes"];
  for (const library of LIBRARIES) {
    for (const how of ["shared", "static"] as const) {
      runAll(dir, library, link("cc", objects, library, how, dir.file("program")), memcheck);
    }
  }
}, PATIENCE);

test("the address sanitizer finds no error and no leak", () => {
  using dir = new TempDir();
  const flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  const objects = compileAll(dir, C, flags);
  for (const library of LIBRARIES) {
    for (const how of ["shared", "static"] as const) {
      runAll(dir, library, link("cc", objects, library, how, dir.file("program"), flags), [], {
        ...environment,
        ASAN_OPTIONS: "detect_leaks=1",
      });
    }
  }
}, PATIENCE);

test("threads find every value whole", () => {
  using dir = new TempDir();
  const rounds = process.env.SPLINTER_TEST_ROUNDS ?? "20000";
  for (const library of LIBRARIES) {
    const program = dir.file("stress");
    link("cc", [`${root}tests/c/stress.c`], library, "shared", program, ["-O2", ...strictly(library)]);
    withStore(dir, library, (name) => assert.match(run(program, [name, library.kind, rounds]), /^0 failures$/m));
  }
}, PATIENCE);

test("a program may have two libraries made of Rust", () => {
  using dir = new TempDir();
  const [rust, other, source] = [dir.file("other.rs"), dir.file("libother.a"), dir.file("both.c")];
  writeFileSync(
    rust,
    `#[unsafe(no_mangle)] pub extern "C" fn other() -> i32 { std::panic::catch_unwind(|| panic!()).is_err() as i32 }\n`,
  );
  run("rustc", ["--edition=2024", "--crate-type=staticlib", "-o", other, rust]);
  writeFileSync(
    source,
    `#include <splinter.h>\nint other(void);\nint main(void) { return !(other() && splinter_get_av() == -2); }\n`,
  );
  for (const library of LIBRARIES) {
    const program = dir.file("both");
    link("cc", [source, other], library, "static", program, [`-I${installed}/include`]);
    run(program, []);
  }
}, PATIENCE);

for (const library of LIBRARIES) {
  test(`a program joins a store in ${library.kind} that Deno and Bun hold open`, async () => {
    using dir = new TempDir();
    const memory = library.kind === "memory";
    const name = memory ? uniqueName() : dir.file();
    const program = dir.file("held");
    link("cc", [`${root}tests/c/held.c`], library, "shared", program, strictly(library));
    await using deno = new Peer("deno");
    await using bun = new Peer("bun");
    try {
      await deno.open({ how: "create", name, memory, slots: 32, max_value_bytes: 64 });
      await bun.open({ how: "open", name, memory });
      await deno.set("from/deno", "hello from Deno");
      await bun.set("from/bun", "hello from Bun");
      await bun.set("go", "0");
      const waiting = [deno, bun].map((peer) => peer.poll("from/c"));
      await Promise.all([deno.sleeps(), bun.sleeps()]);
      const child = spawn(program, [name, library.kind], { stdio: ["ignore", "inherit", "inherit"] });
      const ended = new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
      // Unless the program fails before.
      await Promise.race([Promise.all(waiting), ended]);
      for (const peer of [deno, bun]) assert.equal((await peer.get("from/c"))?.toString(), "hello from C");
      await deno.set("go", "1");
      assert.equal(await soon(ended), 0);
      for (const peer of [deno, bun]) {
        assert.deepEqual(await peer.keys(), ["from/c", "from/deno", "from/handle", "go"]);
        assert.equal(await peer.autoVacuum(), false);
      }
    } finally {
      if (memory) rmSync(`/dev/shm/${name}`, { force: true });
    }
  }, PATIENCE);
}
