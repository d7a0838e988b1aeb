/** The examples as their readers run them: programs of their own, in an empty directory. */
import { fileURLToPath } from "node:url";
import { Program } from "../program.ts";

/** This repository. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** Where the Rust part is built. */
export const RELEASE = `${ROOT}rust/target/release`;

/** The path of a file of the examples. */
export function example(file: string): string {
  return `${ROOT}examples/${file}`;
}

/** What a script in Deno is allowed that has a store. */
const PERMISSIONS = ["--allow-ffi", "--allow-read", "--allow-write"];

/** The command that runs a script of the examples in Bun. */
export function bun(file: string, ...args: string[]): string[] {
  return [`${ROOT}node_modules/.bin/bun`, example(file), ...args];
}

/** The command that runs a script of the examples in Deno, with what it is allowed besides a store. */
export function deno(allowed: string[], file: string, ...args: string[]): string[] {
  return [`${ROOT}node_modules/.bin/deno`, "run", "--quiet", ...PERMISSIONS, ...allowed, example(file), ...args];
}

/** Runs a program to its end, and returns what it has printed. */
export async function run(command: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  await using program = new Program(command, cwd, { ...process.env, ...env });
  return await program.succeeds();
}
