/**
 * What the tests have another process do, in whichever runtime: one job with one store.
 *
 * Takes the URL of that runtime's module, the path of the store and the name of the job.
 */
import process from "node:process";
import type { SplinterConstructor } from "../splinter.ts";
import type { Store } from "../store.ts";
import { isUniform, PATIENCE_MS } from "./suite.ts";

const jobs: Record<string, (store: Store) => void | Promise<void>> = {
  /** Copies what it finds under "bytes/" and "text/" to "out/", each in its own way. */
  copy(store) {
    for (const [key, value] of store.entries({ prefix: "bytes/" })) store.set(`out/${key}`, value);
    for (const key of store.keys({ prefix: "text/" })) store.set(`out/${key}`, store.getString(key) ?? "missing");
  },

  /** Changes "tick" again and again until told to stop: whoever waits for it cannot come too late. */
  tick(store) {
    for (const i of untilTold(store)) {
      store.set("tick", i);
      store.poll("stop", 2);
    }
  },

  /** The same for a key that comes and goes. */
  blink(store) {
    for (const i of untilTold(store)) {
      if (i % 2) store.unset("tick");
      else store.set("tick", "");
      store.poll("stop", 2);
    }
  },

  /** Overwrites "value" as fast as it can, with bytes that are all the same. */
  hammer(store) {
    const { max_val_sz } = store.getBusHeaderSnapshot();
    for (const i of untilTold(store)) {
      const length = 1 + i * 97 % max_val_sz;
      store.set("value", new Uint8Array(length).fill(length));
    }
  },

  /** Reads "value" many times and tells how often it was torn or missing. */
  inspect(store) {
    let bad = 0;
    for (let i = 0; i < 20_000; i++) {
      if (!isUniform(store.getRaw("value"))) bad++;
    }
    store.set("bad", bad);
  },

  /** Changes ten keys many times, now and then deleting one, and says when it is done. */
  count(store) {
    for (let i = 0; i < 20_000; i++) {
      const key = `count/${i % 10}`;
      if (i % 101 === 0) store.unset(key);
      store.set(key, i);
    }
    store.set("done", "");
  },

  /** Sends back what it hears, until that is "stop"; then says three words and is gone. */
  async echo(store) {
    const channel = store.channel("chat/room");
    const stopped = new Promise<void>((resolve) => {
      channel.onmessage = ({ data }) => {
        if (data === "stop") resolve();
        else channel.postMessage(data);
      };
    });
    channel.postMessage("hello");
    await stopped;
    for (const word of ["one", "two", "three"]) channel.postMessage(word);
    store.close();
  },
};

/** Counts until another process sets "stop", or has died before it could. */
function* untilTold(store: Store): Generator<number> {
  const end = Date.now() + PATIENCE_MS;
  for (let i = 0; !store.has("stop") && Date.now() < end; i++) yield i;
}

const [module, path, job] = process.argv.slice(2);
const { Splinter }: { Splinter: SplinterConstructor } = await import(module);
using store = Splinter.open(path);
store.set("ready", job);
await jobs[job](store);
