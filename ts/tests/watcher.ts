/** What the tests have another thread do until it is terminated: watch a store by a handle of its own. */
import { parentPort, workerData } from "node:worker_threads";
import type { SplinterConstructor } from "../splinter.ts";

const { Splinter }: { Splinter: SplinterConstructor } = await import(workerData.module);
const store = Splinter.open(workerData.path);
for (let i = 0; i < 20; i++) store.subscribe("*", () => {});
const channel = store.channel("chat");
channel.onmessage = ({ data }) => channel.postMessage(data);
for await (const _ of store.watch("value", { initial: true })) parentPort?.postMessage("seen");
