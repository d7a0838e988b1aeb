/**
 * Where the prebuilt native library for this platform is. Finding it loads nothing.
 *
 * In the package for npm this module is `splinter-bus/native`; the package for JSR takes it from there.
 *
 * @module
 */
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Loads a module by its name, in runtimes that have this. */
declare const require: ((specifier: string) => unknown) | undefined;

/** The name of the npm package that has the library for this platform, whether there is such a package or not. */
export const platformPackage: string = `@splinter-bus/linux-${process.arch}-gnu`;

/**
 * Finds the native library in the package of the platform.
 *
 * @returns Its path.
 * @throws {Error} If the package is not installed.
 *
 * @example Usage
 * ```ts ignore
 * import { libraryPath } from "splinter-bus/native";
 *
 * console.log(libraryPath()); // what to allow by --allow-ffi, and to include in a program that is compiled
 * ```
 */
export function libraryPath(): string {
  try {
    return fileURLToPath(import.meta.resolve(`${platformPackage}/libsplinter_bus.so`));
  } catch {
    const path = bundled();
    if (path === undefined) throw new Error(`"${platformPackage}" is not installed`);
    return resolve(import.meta.dirname!, path);
  }
}

/**
 * A bundler that sees a file's whole name puts the file into the program that it makes, or beside it, and then this
 * gives its path. Bun's does. Elsewhere there is no such module.
 */
function bundled(): string | undefined {
  try {
    const file = process.arch === "arm64"
      ? require!("@splinter-bus/linux-arm64-gnu/libsplinter_bus.so")
      : require!("@splinter-bus/linux-x64-gnu/libsplinter_bus.so");
    return typeof file === "string" ? file : undefined;
  } catch {
    return undefined;
  }
}
