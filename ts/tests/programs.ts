/** Processes of either runtime that run a script of the tests. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Store } from "../store.ts";
import { PATIENCE_MS } from "./suite.ts";

export type RuntimeName = "deno" | "bun";

export const RUNTIME_NAMES: readonly RuntimeName[] = ["deno", "bun"];

/** How each runtime runs a script, and its entry to this library. */
const RUNTIMES = {
  deno: { args: ["run", "--quiet", "--allow-all"], module: urlOf("../deno/mod.ts") },
  bun: { args: ["run"], module: urlOf("../bun/mod.ts") },
};

/** The runtime that has this entry to the library. */
export function runtimeOf(module: string): RuntimeName {
  return module === RUNTIMES.deno.module ? "deno" : "bun";
}

/** The job of a script: what it does with which store. */
export interface Job {
  runtime: RuntimeName;
  script?: "./peer.ts" | "./leaver.ts";
  store: Store;
  job: string;
}

/** Runs a job to its end. */
export function run(job: Job): void {
  const { program, args } = commandOf(job);
  const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/** Starts a job; the promise gives its end. */
export function start(job: Job): Promise<number | null> {
  const { program, args } = commandOf(job);
  return exitOf(spawn(program, args, { stdio: "inherit" }));
}

/**
 * Runs a job, kills it if it does not end, and gives what it printed. It has time to lose its own patience first, and to
 * say with what.
 */
export async function outcomeOf(job: Job): Promise<{ status: number | null; output: string; errors: string }> {
  const { program, args } = commandOf(job);
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 1.5 * PATIENCE_MS });
  let output = "";
  let errors = "";
  child.stdout.on("data", (text) => output += text);
  child.stderr.on("data", (text) => errors += text);
  const status = await exitOf(child, "close");
  return { status, output, errors };
}

function commandOf({ runtime, script = "./peer.ts", store, job }: Job): { program: string; args: string[] } {
  const { args, module } = RUNTIMES[runtime];
  return { program: programOf(runtime), args: [...args, fileURLToPath(urlOf(script)), module, store.path, job] };
}

function exitOf(child: ChildProcess, event: "exit" | "close" = "exit"): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on(event, resolve);
  });
}

function urlOf(file: string): string {
  return new URL(file, import.meta.url).href;
}

/** The program of a runtime: the one that this repository installs, or whichever is there. */
function programOf(runtime: RuntimeName): string {
  const installed = fileURLToPath(new URL(`../../node_modules/.bin/${runtime}`, import.meta.url));
  return existsSync(installed) ? installed : runtime;
}
