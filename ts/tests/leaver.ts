/**
 * What the tests have another process do that leaves in one way or another, while its store is watched.
 *
 * Takes the URL of its runtime's module, the path of the store and the way.
 */
import process from "node:process";
import { Worker } from "node:worker_threads";
import type { SplinterConstructor } from "../splinter.ts";
import type { Store } from "../store.ts";
import { takeOne, until, waitingThreads } from "./suite.ts";

const ways: Record<string, (store: Store) => void | Promise<void>> = {
  /** Exits by a call, with live watches, some of which are being read. */
  async exit(store) {
    await watchAll(store);
    process.exit(7);
  },

  /** Exits by a call in the middle of a callback. */
  "exit in a callback"(store) {
    store.subscribe("*", () => process.exit(7), { initial: true });
  },

  /** Is ended by an error that nobody catches. */
  async throw(store) {
    await watchAll(store);
    setTimeout(() => {
      throw new Error("Nobody catches this");
    });
  },

  /** Is ended by an error in a callback that nobody catches. */
  "throw in a callback"(store) {
    store.subscribe("*", () => {
      throw new Error("Nobody catches this");
    }, { initial: true });
  },

  /** Comes to its end with a store open and no live watch. */
  async end(store) {
    const { watches, unsubscribe } = await watchAll(store);
    for (const watch of watches) await watch.return();
    unsubscribe();
    using channel = store.channel("chat");
    channel.postMessage("bye");
  },

  /** Comes to its end with watches that have been read from, but are not any more; the store is closed. */
  async close(store) {
    await watchAll(store);
    store.close();
  },

  /** Terminates threads that watch by handles of their own. */
  async terminate(store) {
    const channel = store.channel("chat");
    // The one of this store, which may not be known yet.
    await until(() => waitingThreads() === 1, "No thread waits");
    for (let i = 0; i < 20; i++) {
      const thread = new Worker(new URL("./watcher.ts", import.meta.url), { workerData: { module, path: store.path } });
      await new Promise((resolve, reject) => {
        thread.once("message", resolve);
        thread.once("error", reject);
      });
      channel.postMessage("hello");
      await thread.terminate();
    }
    // Deno leaves open what a terminated thread had adopted, so that the other end cannot know.
    if (!module.includes("/deno/")) await until(() => waitingThreads() === 1, "Threads still wait");
    using watch = store.watch("mine");
    store.set("mine", "");
    await takeOne(watch);
    store.close();
  },

  /** Catches what callbacks and listeners throw, and sees them called again. */
  async report(store) {
    process.on("uncaughtException", (error) => console.log(error.message));
    using sender = store.channel("chat");
    using channel = store.channel("chat");
    let calls = 0;
    let heard = 0;
    store.subscribe("mine", () => {
      throw new Error(`Call ${++calls}`);
    });
    channel.onmessage = () => {
      throw new Error(`Message ${++heard}`);
    };
    for (let i = 1; i <= 3; i++) {
      store.set("mine", i);
      sender.postMessage(i);
      while (calls < i || heard < i) await new Promise((resolve) => setTimeout(resolve));
    }
    store.close();
  },
};

/** Has many watches in use. */
async function watchAll(store: Store) {
  const watches = Array.from({ length: 50 }, () => store.watch("*", { initial: true }));
  const changes = store.changes({ from: 0n });
  let calls = 0;
  const unsubscribe = store.subscribe("*", () => calls++, { initial: true });
  for (const watch of watches) {
    await watch.next();
    void watch.next();
  }
  await changes.next();
  while (calls === 0) await new Promise((resolve) => setTimeout(resolve));
  return { watches: [...watches, changes], unsubscribe };
}

const [module, path, way] = process.argv.slice(2);
const { Splinter }: { Splinter: SplinterConstructor } = await import(module);
const store = Splinter.open(path);
// Within reach to the end, lest it be closed by being collected.
Object.assign(globalThis, { store });
await ways[way](store);
