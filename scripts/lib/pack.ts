/**
 * Makes the packages for npm and JSR in a directory, where the libraries of the platforms are already.
 *
 * Usage: bun scripts/lib/pack.ts DIRECTORY
 */
import { build, transform } from "esbuild";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const manifest = JSON.parse(read("package.json"));
const LIBRARY = "libsplinter_bus.so";
const LICENCES = ["LICENSE", "LICENSE-APACHE", "LICENSE-MIT"];

/** What npm knows of each platform. */
const PLATFORMS = ["x64", "arm64"].map((cpu) => ({
  directory: `linux-${cpu}-gnu`,
  manifest: {
    name: `@splinter-bus/linux-${cpu}-gnu`,
    version: manifest.version,
    description: `The native library of ${manifest.name} for Linux on ${cpu}`,
    license: manifest.license,
    repository: manifest.repository,
    os: ["linux"],
    cpu: [cpu],
    libc: ["glibc"],
    exports: { [`./${LIBRARY}`]: `./${LIBRARY}`, "./package.json": "./package.json" },
  },
}));

const [to] = process.argv.slice(2);
const npm = join(to, "npm");
const built = PLATFORMS.filter(({ directory }) => existsSync(join(npm, directory, LIBRARY)));

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

function write(path: string, content: string | object): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content, null, 2) + "\n");
}

function copy(files: readonly string[], to: string): void {
  for (const file of files) cpSync(join(root, file), join(to, file));
}

/** Runs a program that must succeed, and returns what it says. */
function run(program: string, args: string[], cwd: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")} failed: ${error ?? stdout + stderr}`);
  return stdout + stderr;
}

/** The package for npm, but for the libraries. */
async function packMain(to: string): Promise<void> {
  const exported = await buildModules(to);
  buildTypes(join(to, "types"));
  write(join(to, "unsupported.cjs"), unsupported(exported));
  const { private: _private, scripts: _scripts, devDependencies: _tools, allowScripts: _allowed, ...published } =
    manifest;
  write(join(to, "package.json"), {
    ...published,
    exports: {
      ".": { types: "./types/bun/mod.d.ts", deno: "./deno.js", bun: "./bun.js", default: "./unsupported.cjs" },
      "./native": { types: "./types/platform.d.ts", default: "./native.js" },
      "./package.json": "./package.json",
    },
    // Deno installs nothing at all if one of these does not exist.
    optionalDependencies: Object.fromEntries(built.map(({ manifest: { name, version } }) => [name, version])),
  });
  copy([...LICENCES, "CHANGELOG.md", "README.md"], to);
}

/**
 * Makes `bun.js` and `deno.js`, `shared.js`, which is what they share, and `native.js`.
 *
 * @returns The names that `bun.js` and `deno.js` export.
 */
async function buildModules(to: string): Promise<string[]> {
  const format = "esm";
  const target = "esnext";
  // Not bundled, so that a user's bundler finds the call of "require" in it as it was written.
  const native = await transform(read("ts/platform.ts"), { loader: "ts", format, target });
  write(join(to, "native.js"), native.code);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { deno: "ts/deno/mod.ts", bun: "ts/bun/mod.ts" },
    outdir: to,
    bundle: true,
    splitting: true,
    chunkNames: "shared",
    metafile: true,
    external: ["node:*", "bun:*"],
    plugins: [{
      name: "native",
      setup({ onResolve }) {
        onResolve({ filter: /\/platform\.ts$/ }, () => ({ path: "./native.js", external: true }));
      },
    }],
    format,
    target,
    logLevel: "warning",
  });
  const [ofDeno, ofBun] = ["deno.js", "bun.js"].map((file) =>
    metafile.outputs[relative(root, join(to, file))].exports.toSorted()
  );
  if (String(ofDeno) !== String(ofBun)) throw new Error(`Deno gets ${ofDeno}, Bun gets ${ofBun}`);
  return ofBun;
}

/** Makes the declarations: those that a user can see, and no others. */
function buildTypes(to: string): void {
  const project = join(to, "tsconfig.json");
  const entries = ["bun/mod", "platform"];
  write(project, {
    extends: join(root, "tsconfig.json"),
    compilerOptions: {
      noEmit: false,
      declaration: true,
      emitDeclarationOnly: true,
      stripInternal: true,
      rootDir: join(root, "ts"),
      outDir: to,
      typeRoots: [join(root, "node_modules/@types")],
    },
    files: entries.map((entry) => join(root, "ts", `${entry}.ts`)),
    include: [],
  });
  run(join(root, "node_modules/.bin/tsc"), ["--project", project], root);
  rmSync(project);

  const needed = new Set(entries.map((entry) => join(to, `${entry}.d.ts`)));
  for (const file of needed) {
    const text = readFileSync(file, "utf8")
      // A declaration file is imported by the name of the module that it declares.
      .replaceAll(/(?<=(?:from|import) ")(\.\.?\/[^"]+)\.ts(?=")/g, (_, path: string) => {
        needed.add(join(dirname(file), `${path}.d.ts`));
        return `${path}.js`;
      })
      .replaceAll("@splinter/ffi", manifest.name);
    writeFileSync(file, text);
  }
  for (const entry of readdirSync(to, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    if (entry.isFile() && !needed.has(file)) rmSync(file);
  }
}

/** What Node.js and others get. It has the names, without which they would complain of those, and never come to this. */
function unsupported(names: readonly string[]): string {
  return `throw new Error(
  "${manifest.name} runs in Bun (${manifest.engines.bun}) and Deno (${manifest.engines.deno}): run this program with " +
    '"bun FILE" or "deno run --allow-ffi --allow-read --allow-write FILE". Node.js and browsers are not supported.',
);
${names.map((name) => `exports.${name} = undefined;\n`).join("")}`;
}

/** The package for JSR: what `deno publish` would take from this repository, and the library from npm. */
function packJsr(to: string): void {
  const output = run(
    join(root, "node_modules/.bin/deno"),
    ["publish", "--dry-run", "--allow-dirty", "--no-check"],
    root,
  );
  const files = [...output.matchAll(/^ +(file:\S+) \(/gm)].map(([, url]) => relative(root, fileURLToPath(url)));
  if (!files.includes("ts/deno/mod.ts")) throw new Error(`deno publish does not say what it takes:\n${output}`);
  copy(files, to);
  const { name, version, license, exports } = JSON.parse(read("deno.json"));
  write(join(to, "deno.json"), { name, version, license, exports });
  write(
    join(to, "ts/platform.ts"),
    `/** Where the prebuilt native library for this platform is. */\n` +
      `export { libraryPath, platformPackage } from "npm:${manifest.name}@${version}/native";\n`,
  );
}

await packMain(join(npm, manifest.name));
for (const { directory, manifest } of built) {
  const place = join(npm, directory);
  write(join(place, "package.json"), manifest);
  write(
    join(place, "README.md"),
    `# ${manifest.name}\n\n${manifest.description}. Install \`splinter-bus\`, which needs it.\n`,
  );
  copy(LICENCES, place);
}
for (const directory of readdirSync(npm)) run("npm", ["pack", "--pack-destination", npm], join(npm, directory));
packJsr(join(to, "jsr"));
