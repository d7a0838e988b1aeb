/** Counts primes, part by part, and takes from the store the parts that any worker has counted before. */
/// <reference lib="deno.worker" />
import { Splinter, type Store } from "splinter-bus";
import type { Answer, Question, Setup } from "./pool.ts";

/** How many numbers are in a part. */
const PART = 100_000;

let store: Store;

self.onmessage = ({ data }: MessageEvent<Setup>) => {
  store = Splinter.open(data.path, { engine: data.engine, readOnly: true });
  self.onmessage = ({ data }: MessageEvent<Question>) => self.postMessage(answer(data));
};

function answer({ id, limit }: Question): Answer {
  const found: Answer["found"] = [];
  let count = 0;
  for (let from = 0; from < limit; from += PART) {
    const to = Math.min(from + PART, limit);
    const key = `part/${from}-${to}`;
    let part = store.getJSON<number>(key);
    if (part === null) {
      part = primesBetween(from, to);
      found.push([key, part]);
    }
    count += part;
  }
  found.push([`below/${limit}`, count]);
  return { id, count, found };
}

/** Counts the primes in a range by sieving it. */
function primesBetween(from: number, to: number): number {
  const isComposite = new Uint8Array(to - from);
  for (let number = 0; number < 2; number++) if (number >= from && number < to) isComposite[number - from] = 1;
  for (let factor = 2; factor * factor < to; factor++) {
    const first = Math.max(factor * factor, Math.ceil(from / factor) * factor);
    for (let multiple = first; multiple < to; multiple += factor) isComposite[multiple - from] = 1;
  }
  return isComposite.reduce((count, composite) => count + 1 - composite, 0);
}
