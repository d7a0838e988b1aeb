/**
 * Workers that share one store: each reads in it what any of them has found before, and what they find is written by one, so that
 * it is the same with native code and without.
 */
import type { Store } from "splinter-bus";

/** Numbers up to this are looked at. */
export const LIMIT = 10_000_000;

/** What a worker is told first. */
export interface Setup {
  path: string;
  engine: "native" | "file";
}

/** A question to a worker: how many primes are below the limit? */
export interface Question {
  id: number;
  limit: number;
}

/** The answer, and what had to be found for it: keys of the store and their values. */
export interface Answer {
  id: number;
  count: number;
  found: [key: string, value: number][];
}

const WORKERS = 2;

/** What is cached lives for an hour. */
const TTL_MS = 3_600_000;

/** Some workers, and the one who writes what they find. */
export class Pool {
  hits = 0;
  misses = 0;
  /** How many parts had to be counted. */
  counted = 0;
  readonly #store: Store;
  readonly #workers: Worker[];
  readonly #asked = new Map<number, (answer: Answer) => void>();
  readonly #underWay = new Map<number, Promise<number>>();
  #last = 0;

  constructor(store: Store, path: string, engine: Setup["engine"]) {
    this.#store = store;
    this.#workers = Array.from({ length: WORKERS }, () => {
      const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      worker.postMessage({ path, engine } satisfies Setup);
      worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#hear(data);
      return worker;
    });
  }

  /** Tells how many primes are below a number, and whether that was known. */
  async primesBelow(limit: number): Promise<{ count: number; isCached: boolean }> {
    const known = this.#store.getJSON<number>(`below/${limit}`);
    if (known !== null) {
      this.hits++;
      return { count: known, isCached: true };
    }
    this.misses++;
    // Who asks for the same meanwhile waits for the same answer.
    let count = this.#underWay.get(limit);
    if (count === undefined) {
      count = this.#ask(limit);
      this.#underWay.set(limit, count);
    }
    return { count: await count, isCached: false };
  }

  close(): void {
    for (const worker of this.#workers) worker.terminate();
  }

  async #ask(limit: number): Promise<number> {
    const id = ++this.#last;
    const answer = await new Promise<Answer>((resolve) => {
      this.#asked.set(id, resolve);
      this.#workers[id % WORKERS].postMessage({ id, limit } satisfies Question);
    });
    this.#underWay.delete(limit);
    return answer.count;
  }

  #hear(answer: Answer): void {
    for (const [key, value] of answer.found) this.#store.set(key, value, { ttlMs: TTL_MS });
    // All but the answer itself.
    this.counted += answer.found.length - 1;
    this.#asked.get(answer.id)?.(answer);
    this.#asked.delete(answer.id);
  }
}
