/**
 * A cache that all processes share: values live for a time, the least recently used make room, and of all who miss the same
 * value one makes it while the others wait for it. For Bun and Deno.
 */
import { Splinter, type Store } from "splinter-bus";
import { Lease } from "../lock/lease.ts";

/** After how long another may make a value whose maker has died. */
const MAKING_MS = 1000;

/** How large a cache is, and how long its values live. */
export interface CacheOptions {
  entries: number;
  maxValueSize: number;
  ttlMs: number;
}

/** Values that have a JSON form, by their names. */
export class Cache implements Disposable {
  readonly #store: Store;
  readonly #ttlMs: number;

  constructor(path: string, { entries, maxValueSize, ttlMs }: CacheOptions) {
    this.#store = Splinter.openOrCreate(path, { slots: entries, maxValueSize, eviction: "lru" });
    this.#ttlMs = ttlMs;
  }

  /** Gives a value, which the function makes if it is not there. What the function throws is for this caller alone. */
  async get<T>(name: string, make: () => Promise<T>): Promise<T> {
    const cached = this.#look<T>(name);
    if (cached) return cached[0];

    const turn = `making/${name}`;
    using lease = await Lease.acquire(this.#store, turn, "", MAKING_MS);
    // Whoever had the turn before has probably made it.
    const made = this.#look<T>(name);
    if (made) return made[0];

    // A turn that were evicted would let two make the same, which is a waste and no harm.
    this.#store.pin(turn);
    const renewal = setInterval(() => lease.renew(), MAKING_MS / 4);
    try {
      const value = await make();
      this.#store.set(`value/${name}`, [value], { ttlMs: this.#ttlMs });
      return value;
    } finally {
      clearInterval(renewal);
    }
  }

  /** Forgets a value, everywhere. */
  delete(name: string): void {
    this.#store.unset(`value/${name}`);
  }

  /** The value in an array, since it may be `null` itself. */
  #look<T>(name: string): [T] | null {
    return this.#store.getJSON<[T]>(`value/${name}`);
  }

  [Symbol.dispose](): void {
    this.#store.close();
  }
}
