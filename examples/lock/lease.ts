/**
 * A lock that is free again when its time is up, whatever becomes of its holder, with a token that shuts out those who
 * believe that they still hold it. For Bun and Deno.
 */
import type { Store } from "splinter-bus";

/** The right to be the only one, until it is given back or its time is up. */
export class Lease implements Disposable {
  readonly #store: Store;
  readonly #key: string;
  readonly #owner: string;
  readonly #ttlMs: number;
  #token: bigint;

  private constructor(store: Store, key: string, owner: string, ttlMs: number, token: bigint) {
    this.#store = store;
    this.#key = key;
    this.#owner = owner;
    this.#ttlMs = ttlMs;
    this.#token = token;
  }

  /** Waits until nobody holds the key, and takes it. The owner's name is for those who look at the store. */
  static async acquire(store: Store, key: string, owner: string, ttlMs: number, signal?: AbortSignal): Promise<Lease> {
    for (;;) {
      signal?.throwIfAborted();
      // Who dies gives nothing back: then the end of the holder's time ends the wait.
      const timeoutMs = store.ttl(key) ?? 0;
      // The wait begins before the attempt, so that it hears of a release that comes right after it.
      const changed = store.pollAsync(key, { timeoutMs, signal });
      const taken = store.set(key, owner, { ifAbsent: true, ttlMs });
      if (taken.ok) {
        // It hears of our own write, and nobody waits for it any more.
        changed.catch(() => {});
        return new Lease(store, key, owner, ttlMs, taken.epoch);
      }
      await changed;
    }
  }

  /**
   * The fencing token: the epoch of the key, which never goes back, and so greater than that of any holder before. What the
   * lock guards must refuse a token that is smaller than one that it has seen.
   */
  get token(): bigint {
    return this.#token;
  }

  /** Begins the time anew, if it is not up yet. The token is greater then. */
  renew(): boolean {
    const renewed = this.#store.set(this.#key, this.#owner, { ifEpoch: this.#token, ttlMs: this.#ttlMs });
    if (renewed.ok) this.#token = renewed.epoch;
    return renewed.ok;
  }

  /** Gives it back, if it is still ours. */
  release(): boolean {
    return this.#store.unset(this.#key, { ifEpoch: this.#token }).ok;
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
