/** What the tests have another thread do: use a store by a handle of its own and answer with what it found. */
import { parentPort, workerData } from "node:worker_threads";
import type { SplinterConstructor } from "../splinter.ts";

const { Splinter }: { Splinter: SplinterConstructor } = await import(workerData.module);
using store = Splinter.open(workerData.path);
const found = store.getString("to worker");
for (let i = 0; i < 1000; i++) store.set("from worker", i);
parentPort?.postMessage(found);
