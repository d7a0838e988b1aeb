/**
 * The ways to be told of changes: as a stream, by a callback, or once.
 *
 * @module
 */
import { InvalidArgumentError, type SplinterError } from "./errors.ts";
import type { Feed, Hub, Reader } from "./hub.ts";
import type { Unsubscribe, Watch } from "./types.ts";

/** No timer of the runtimes runs longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

interface Waiting<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: SplinterError): void;
}

/** A feed as a stream. */
export class Stream<T> implements Watch<T> {
  readonly #feed: Feed<T>;
  readonly #hub: Hub;
  readonly #waiting: Waiting<T>[] = [];
  // Of which nobody has heard yet.
  #error: SplinterError | undefined;

  /**
   * Makes a feed a stream.
   *
   * @param feed The feed, which has no other reader.
   */
  constructor(feed: Feed<T>) {
    this.#feed = feed;
    this.#hub = feed.hub;
    feed.reader = { serve: () => this.#serve(), end: (error) => this.#end(error) };
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const feed = this.#feed;
    if (!feed.isOver && feed.isReady && this.#waiting.length === 0 && !this.#hub.isTired()) {
      const value = feed.take();
      if (value !== undefined) return Promise.resolve({ done: false, value });
    }
    if (feed.isOver) return this.#done();
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T, undefined>>();
    this.#waiting.push({ resolve, reject });
    if (feed.isReady) this.#hub.postpone(feed);
    return promise;
  }

  return(): Promise<IteratorReturnResult<undefined>> {
    this.#feed.end();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): Watch<T> {
    return this;
  }

  [Symbol.dispose](): void {
    this.#feed.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#feed.end();
    return Promise.resolve();
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      const value = this.#feed.take();
      if (value === undefined) return;
      this.#waiting.shift()?.resolve({ done: false, value });
    }
  }

  #end(error: SplinterError | undefined): void {
    this.#error = error;
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      this.#done().then(resolve, reject);
    }
  }

  #done(): Promise<IteratorReturnResult<undefined>> {
    const error = this.#error;
    if (error === undefined) return Promise.resolve(DONE);
    this.#error = undefined;
    return Promise.reject(error);
  }
}

/** A feed by a callback. What the callback throws is reported, and the next item goes to it all the same. */
export class Subscription<T> implements Reader {
  readonly #feed: Feed<T>;
  readonly #callback: (item: T) => unknown;

  /**
   * Starts to call back, not before the event loop has had its turn.
   *
   * @param feed The feed, which has no other reader.
   * @param callback What is called with each item.
   */
  constructor(feed: Feed<T>, callback: (item: T) => unknown) {
    this.#feed = feed;
    this.#callback = callback;
    feed.reader = this;
    if (!feed.isOver) feed.hub.postpone(feed);
  }

  serve(): void {
    const feed = this.#feed;
    const { hub } = feed;
    while (!hub.isTired()) {
      const item = feed.take();
      if (item === undefined) return;
      try {
        this.#callback(item);
      } catch (error) {
        reportError(error);
      }
    }
    if (!feed.isOver) hub.postpone(feed);
  }

  end(error?: SplinterError): void {
    if (error !== undefined) reportError(error);
  }
}

/**
 * Starts a subscription.
 *
 * @param start Starts what is subscribed to.
 * @param callback What is called with each item.
 * @returns The function that ends it.
 */
export function subscribed<T>(start: () => Feed<T>, callback: (item: T) => void): Unsubscribe {
  if (typeof callback !== "function") {
    throw new InvalidArgumentError(`"callback" must be a function`);
  }
  const feed = start();
  new Subscription(feed, callback);
  return unsubscriber(feed);
}

/**
 * Makes the function that ends a subscription.
 *
 * @param feed What it is subscribed to.
 * @returns The function.
 */
function unsubscriber(feed: Feed<unknown>): Unsubscribe {
  const end = () => feed.end();
  return Object.assign(end, { [Symbol.dispose]: end });
}

/**
 * Waits for a feed to deliver something, once.
 *
 * @param feed The feed, which has no other reader.
 * @param timeoutMs How long at most, in milliseconds.
 * @param signal What ends the wait with its reason.
 * @param closed Makes the error for a feed that ends before.
 * @returns Whether it did.
 */
export function once(
  feed: Feed<unknown>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  closed: () => SplinterError,
): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let settle: (() => void) | undefined;
  const end = (how: () => void) => {
    settle = how;
    feed.end();
  };
  const abort = () => end(() => reject(signal?.reason));
  const sleep = (ms: number) => {
    timer = setTimeout(() => {
      if (ms > MAX_TIMER_MS) sleep(ms - MAX_TIMER_MS);
      else end(() => resolve(false));
    }, Math.min(ms, MAX_TIMER_MS));
  };
  feed.reader = {
    serve() {
      if (feed.take() !== undefined) end(() => resolve(true));
    },
    end(error) {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      if (settle !== undefined) settle();
      else reject(error ?? closed());
    },
  };
  signal?.addEventListener("abort", abort);
  if (timeoutMs !== Infinity) sleep(timeoutMs);
  feed.reader.serve();
  return promise;
}
