/**
 * The suite of a runtime: what `scripts/bench` runs in Deno and in Bun. Prints one document, in JSON.
 *
 * Usage: `bench.RUNTIME.ts LIBRARY [--quick]`, where `LIBRARY` is the path of the native library.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import process from "node:process";
import { isMainThread, workerData } from "node:worker_threads";
import manifest from "../../package.json" with { type: "json" };
import type { Document, Machine } from "../schema.ts";
import type { Shape } from "./loaded.ts";
import { answer, type Job, messages } from "./messages.ts";
import { operations } from "./operations.ts";
import { Peers } from "./peers.ts";
import type { Runtime } from "./runtime.ts";

const SHAPES: readonly Shape[] = [
  { keys: 1000, bytes: 64 },
  { keys: 1000, bytes: 1024 },
  { keys: 1000, bytes: 4096 },
  { keys: 64_000, bytes: 64 },
];

const THOROUGH = { shapes: SHAPES, effort: { rounds: 150, warmUpMs: 200 }, messageRounds: 60 };
const QUICK = { shapes: SHAPES.slice(0, 1), effort: { rounds: 40, warmUpMs: 100 }, messageRounds: 10 };

/**
 * Runs the suite, or one answering side of it.
 *
 * @param runtime The runtime.
 * @param entry The URL of its script.
 */
export async function main(runtime: Runtime, entry: string): Promise<void> {
  const [first, ...rest] = process.argv.slice(2);
  if (!isMainThread) await answer(runtime, workerData as Job);
  else if (first?.startsWith("{")) await answer(runtime, JSON.parse(first) as Job);
  else if (first !== undefined && (rest.length === 0 || rest.join() === "--quick")) {
    console.log(JSON.stringify(await document(runtime, entry, first, rest.length > 0), null, 2));
  } else {
    console.error(`usage: bench.${runtime.name}.ts LIBRARY [--quick]`);
    process.exitCode = 2;
  }
}

async function document(runtime: Runtime, entry: string, libPath: string, quick: boolean): Promise<Document> {
  const { shapes, effort, messageRounds } = quick ? QUICK : THOROUGH;
  const date = new Date().toISOString().replace(/\.\d+/, "");
  // In memory, so that no disk is in it.
  const directory = mkdtempSync("/dev/shm/splinter-bench.");
  let peers: Peers | undefined;
  const end = () => {
    peers?.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  process.on("exit", end);
  for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    process.on(signal, () => process.exit(status));
  }
  try {
    peers = await Peers.start(runtime, directory);
    const bench = { runtime, functions: runtime.functions(libPath), peers, libPath, directory };
    return {
      schema: 1,
      suite: runtime.name,
      date,
      quick,
      machine: machine(),
      versions: { ...runtime.versions, Splinter: manifest.version, ...peers.versions },
      skipped: peers.skipped,
      groups: [...await operations(bench, shapes, effort), await messages(bench, entry, messageRounds)],
    };
  } finally {
    end();
  }
}

function machine(): Machine {
  const processors = cpus();
  return {
    processor: processors[0].model,
    processors: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
  };
}
