/** Projects of somebody who uses the packages, made from what scripts/pack has packed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TempDir } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";

export const root: string = fileURLToPath(new URL("../../", import.meta.url));
export const packages: string = join(root, "rust/target/packages");
assert.ok(existsSync(packages), "there are no packages: scripts/pack makes them");

/** What a manifest says, as far as it is tested. */
export interface Manifest {
  name: string;
  version: string;
  license: string;
  optionalDependencies?: Record<string, string>;
  [field: string]: unknown;
}

export function readJson(path: string): Manifest {
  return JSON.parse(readFileSync(path, "utf8"));
}

export const { name, version } = readJson(join(root, "package.json"));

/** The package of this machine's platform: its name, and that of its directory and tarball. */
export const platform: { name: string; directory: string; tarball: string } = {
  name: `@splinter-bus/linux-${process.arch}-gnu`,
  directory: `linux-${process.arch}-gnu`,
  tarball: join(packages, `npm/splinter-bus-linux-${process.arch}-gnu-${version}.tgz`),
};
export const tarball: string = join(packages, `npm/${name}-${version}.tgz`);

/** Where nobody listens: what would ask a registry fails. */
const NOBODY = "http://127.0.0.1:9/";

/** An empty project, gone at the end of its block. */
export class Project extends TempDir {
  readonly #environment: Record<string, string | undefined>;

  /** Makes it, without a network: `npm` is where packages are asked for. */
  constructor(npm: string = NOBODY) {
    super();
    // Nothing of the user's own configuration.
    this.#environment = {
      PATH: `${join(root, "node_modules/.bin")}:${process.env.PATH}`,
      HOME: this.path,
      DENO_DIR: this.file("deno"),
      DENORT_BIN: process.env.DENORT_BIN,
      DENO_NO_PROMPT: "1",
      DENO_NO_UPDATE_CHECK: "1",
      NO_COLOR: "1",
      NPM_CONFIG_REGISTRY: npm,
      JSR_URL: NOBODY,
    };
    // Without one of its own, Deno would take the configuration and the lockfile of a directory above.
    this.write("deno.json", "{}");
  }

  /** Installs the packages for npm from their tarballs. */
  async install(installer: "npm" | "bun"): Promise<void> {
    if (installer === "npm") {
      this.write("package.json", JSON.stringify({ private: true, type: "module" }));
      await this.run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball, platform.tarball]);
    } else {
      // Bun would ask the registry for the platform's package too, which it has been given.
      const dependencies = { [name]: `file:${tarball}` };
      const overrides = { [platform.name]: `file:${platform.tarball}` };
      this.write("package.json", JSON.stringify({ private: true, type: "module", dependencies, overrides }));
      await this.run("bun", ["install"]);
    }
    // What Deno and tsc know of Node.js's modules, as most projects have it.
    for (const types of ["@types", "undici-types", "bun-types"]) {
      symlinkSync(join(root, "node_modules", types), this.file(`node_modules/${types}`));
    }
  }

  /** Puts the package for JSR where `jsr:@splinter/ffi` is taken from instead of the registry. */
  linkJsr(): void {
    cpSync(join(packages, "jsr"), this.file("ffi"), { recursive: true });
    this.write("deno.json", JSON.stringify({ links: ["./ffi"] }));
  }

  write(file: string, text: string): void {
    writeFileSync(this.file(file), text);
  }

  /** Starts a program, which ends with its block at the latest. */
  start(program: string, args: string[]): Program {
    return new Program([program, ...args], this.path, this.#environment);
  }

  /** Runs a program that must end with a status, and returns what it printed. */
  async run(program: string, args: string[], status = 0): Promise<string> {
    await using running = this.start(program, args);
    const ended = await running.ended;
    assert.equal(ended, status, `${program} ${args.join(" ")} ended with ${ended}:\n${running.output}`);
    return running.output;
  }
}

/** What the npm registry would say of the packages, and give, were they published: for Deno, which installs no tarballs. */
export function serveNpm(): Bun.Server<undefined> {
  const directories = readdirSync(join(packages, "npm"), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory()
  );
  const published = new Map(directories.map(({ name: directory }) => {
    const manifest = readJson(join(packages, "npm", directory, "package.json"));
    const packed = `${manifest.name.replace("@", "").replace("/", "-")}-${version}.tgz`;
    return [manifest.name, { path: join(packages, "npm", packed), manifest }];
  }));
  return Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, server) {
      const asked = decodeURIComponent(new URL(request.url).pathname.slice(1));
      const found = published.get(asked.replace(/\.tgz$/, ""));
      if (found === undefined) return new Response("{}", { status: 404 });
      const bytes = readFileSync(found.path);
      if (asked.endsWith(".tgz")) return new Response(bytes);
      const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
      const dist = { tarball: `${server.url}${asked}.tgz`, integrity };
      return Response.json({
        name: asked,
        "dist-tags": { latest: version },
        versions: { [version]: { ...found.manifest, dist } },
      });
    },
  });
}

/** All files in a directory, by their paths in it. */
export function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}
