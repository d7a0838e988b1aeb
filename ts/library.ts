/**
 * Where the native library is looked for.
 *
 * Importing does nothing; the search happens when a store is first opened:
 *
 * 1. the option `libPath`,
 * 2. the environment variable `SPLINTER_LIB`,
 * 3. the package of the platform, `@splinter-bus/linux-x64-gnu` or `@splinter-bus/linux-arm64-gnu`,
 * 4. beside this module,
 * 5. the build output of this repository,
 * 6. the system's library directories.
 *
 * One that is named (1 and 2) is used or is an error; the search does not go on behind the back of the one who named
 * it.
 *
 * @module
 */
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as check from "./arguments.ts";
import { type LibraryAttempt, LibraryError, PermissionError } from "./errors.ts";
import { ABI } from "./layout.ts";
import type { Native, Runtime } from "./native.ts";
import { libraryPath, platformPackage } from "./platform.ts";

const FILE = "libsplinter_bus.so";
const VARIABLE = "SPLINTER_LIB";

/** Finds and loads the library, each once. */
export class Libraries {
  readonly #runtime: Runtime;
  readonly #loaded = new Map<string, Native>();
  #found: Native | undefined;

  /**
   * Prepares the search.
   *
   * @param runtime Who loads.
   */
  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /**
   * Gives the library, loading it if that has not happened yet.
   *
   * @param libPath The one to use, instead of a search.
   * @returns Its functions.
   */
  get(libPath: string | URL | undefined): Native {
    if (libPath === undefined) return this.#found ??= this.#search();
    const path = check.path("libPath", libPath);
    return this.#named(path, path);
  }

  #search(): Native {
    const tried: LibraryAttempt[] = [];
    const fromVariable = this.#variable(tried);
    if (fromVariable) return this.#named(fromVariable, `${VARIABLE}=${fromVariable}`);
    let denied: PermissionError | undefined;
    for (const candidate of [...packaged(tried), ...files()]) {
      try {
        return this.#load(candidate);
      } catch (error) {
        if (error instanceof PermissionError) denied ??= error;
        tried.push({ place: candidate, reason: reasonOf(error) });
      }
    }
    // Where something was forbidden, allowing it is the likely remedy.
    if (denied !== undefined) {
      throw new PermissionError("No permission to load the native library. Tried:" + listOf(tried), { cause: denied });
    }
    throw new LibraryError("Cannot find the native library. Tried:" + listOf(tried), tried);
  }

  /** Loads the one library that was asked for. */
  #named(path: string, place: string): Native {
    try {
      // A bare name would be looked for in places that nobody named.
      return this.#load(resolve(path));
    } catch (cause) {
      if (cause instanceof PermissionError) throw cause;
      const tried = [{ place, reason: reasonOf(cause) }];
      throw new LibraryError("Cannot load the native library that was asked for:" + listOf(tried), tried, { cause });
    }
  }

  #load(path: string): Native {
    let native = this.#loaded.get(path);
    if (native === undefined) {
      native = this.#runtime.load(path);
      const abi = native.spl_abi();
      if (abi !== ABI) throw new Error(`its interface is version ${abi}, not ${ABI}`);
      this.#loaded.set(path, native);
    }
    return native;
  }

  #variable(tried: LibraryAttempt[]): string | undefined {
    try {
      const path = this.#runtime.env(VARIABLE);
      if (!path) tried.push({ place: VARIABLE, reason: "not set" });
      return path;
    } catch (error) {
      // Nobody has to allow a variable that nobody has to set.
      tried.push({ place: VARIABLE, reason: reasonOf(error) });
      return undefined;
    }
  }
}

/** The library in the package of the platform, if that is installed. */
function* packaged(tried: LibraryAttempt[]): Generator<string> {
  let path: string;
  try {
    path = libraryPath();
  } catch {
    tried.push({ place: `package ${platformPackage}`, reason: "not installed" });
    return;
  }
  yield path;
}

/** The places that are known without asking. */
function* files(): Generator<string> {
  if (import.meta.url.startsWith("file:")) {
    for (const place of [`./${FILE}`, `../rust/target/release/${FILE}`, `../rust/target/debug/${FILE}`]) {
      yield fileURLToPath(new URL(place, import.meta.url));
    }
  }
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  for (
    const directory of [
      "/usr/local/lib",
      `/usr/lib/${machine}-linux-gnu`,
      "/usr/lib64",
      "/usr/lib",
      `/lib/${machine}-linux-gnu`,
      "/lib64",
      "/lib",
    ]
  ) {
    yield `${directory}/${FILE}`;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The tail of a message, with a line for each attempt. */
function listOf(tried: readonly LibraryAttempt[]): string {
  return tried.map(({ place, reason }) => `\n  ${place}: ${reason}`).join("");
}
