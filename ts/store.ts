/**
 * An open store, whatever the runtime and whatever it lives in.
 *
 * @module
 */
import type {
  BusHeaderSnapshot,
  Change,
  ChangesOptions,
  Channel,
  KeysOptions,
  PollOptions,
  SlotSnapshot,
  StoreValue,
  Unsubscribe,
  Watch,
  WatchEvent,
  WatchOptions,
  WatchPattern,
} from "./types.ts";

/**
 * An open store: a table of keys and values that any number of processes have open, and that each of them sees change
 * at once.
 *
 * {@linkcode SplinterConstructor.open} and its neighbours give one. Reading and writing are synchronous. A key that is
 * not there is `null`, never an error. After {@linkcode Store.close} every operation throws a `ClosedError`.
 *
 * @example Usage
 * ```ts
 * import { Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * console.log(store.getString("greeting")); // hello
 * ```
 */
export interface Store {
  /**
   * Sets a key, adding it if need be.
   *
   * Waits its turn behind another writer of the same key, for as long as `lockTimeoutMs` says.
   *
   * @param key The key: one byte or more of UTF-8 without NUL.
   * @param value A string, bytes, or what has a JSON form.
   * @throws {FullError} If the key is new and every slot is in use.
   * @throws {KeyTooLongError} If the key is longer than the store's longest.
   * @throws {KeyInvalidError} If the key is empty or has a NUL or a lone surrogate.
   * @throws {ValueTooLargeError} If the value is larger than the store's largest.
   * @throws {BusyError} If another writer kept the key for too long.
   * @throws {NoSpaceError} If there is no memory or disk left for a new key.
   * @throws {InvalidArgumentError} If the value has no stored form.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("text", "grüße");
   * store.set("bytes", new Uint8Array([1, 2, 3]));
   * store.set("json", { load: [0.5, 0.25], up: true });
   * ```
   */
  set(key: string, value: StoreValue): void;

  /**
   * Sets a key as {@linkcode Store.set} does, but never waits.
   *
   * @param key The key.
   * @param value A string, bytes, or what has a JSON form.
   * @throws {BusyError} If another writer has the key at this moment.
   *
   * @example Usage
   * ```ts
   * import { BusyError, Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * try {
   *   store.trySet("load", 0.5);
   * } catch (error) {
   *   if (!(error instanceof BusyError)) throw error;
   * }
   * ```
   */
  trySet(key: string, value: StoreValue): void;

  /**
   * Deletes a key. Waits its turn as {@linkcode Store.set} does.
   *
   * @param key The key.
   * @returns How many bytes its value had, or `null` if it was not there.
   * @throws {BusyError} If another writer kept the key for too long.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * console.log(store.unset("greeting")); // 5
   * console.log(store.unset("greeting")); // null
   * ```
   */
  unset(key: string): number | null;

  /**
   * Deletes a key as {@linkcode Store.unset} does, but never waits.
   *
   * @param key The key.
   * @returns How many bytes its value had, or `null` if it was not there.
   * @throws {BusyError} If another writer has the key at this moment.
   */
  tryUnset(key: string): number | null;

  /**
   * Gets the bytes of a value, as one writer left them.
   *
   * The bytes are the caller's, but may share their `ArrayBuffer` with those of other values: `slice()` them before
   * giving the buffer away.
   *
   * @param key The key.
   * @returns The bytes, or `null` if the key is not there.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("bytes", new Uint8Array([1, 2, 3]));
   * console.log(store.getRaw("bytes")); // Uint8Array(3) [ 1, 2, 3 ]
   * console.log(store.getRaw("other")); // null
   * ```
   */
  getRaw(key: string): Uint8Array<ArrayBuffer> | null;

  /**
   * Gets the bytes of a value: another name for {@linkcode Store.getRaw}.
   *
   * @param key The key.
   * @returns The bytes, or `null` if the key is not there.
   */
  get(key: string): Uint8Array<ArrayBuffer> | null;

  /**
   * Gets the bytes of a value into memory that the caller has, which is the quickest way.
   *
   * @param key The key.
   * @param buffer Where the bytes go; what lies behind them is left alone.
   * @returns How many bytes the value has, or `null` if the key is not there.
   * @throws {InvalidArgumentError} If the value does not fit; the buffer is left alone then.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * const buffer = new Uint8Array(4096);
   * console.log(store.getInto("greeting", buffer)); // 5
   * ```
   */
  getInto(key: string, buffer: Uint8Array): number | null;

  /**
   * Gets a value as text.
   *
   * @param key The key.
   * @returns The value decoded as UTF-8, where U+FFFD stands for what is not UTF-8, or `null` if the key is not there.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * console.log(store.getString("greeting")); // hello
   * ```
   */
  getString(key: string): string | null;

  /**
   * Gets a value that is JSON.
   *
   * @typeParam T The type that the caller knows it to have; it is not checked.
   * @param key The key.
   * @returns The value, or `null` if the key is not there (or is JSON `null`).
   * @throws {WrongTypeError} If the value is not JSON. A string that was set as such is stored as it is, and so is JSON
   * only if it reads like it.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("cpu", { user: 12, idle: 88 });
   * console.log(store.getJSON<{ idle: number }>("cpu")?.idle); // 88
   * ```
   */
  getJSON<T = unknown>(key: string): T | null;

  /**
   * Tells whether a key is there.
   *
   * @param key The key.
   * @returns Whether it is.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * console.log(store.has("greeting")); // false
   * ```
   */
  has(key: string): boolean;

  /**
   * Lists keys, in no order.
   *
   * @param maxKeys How many at most.
   * @returns The keys. One that is there all the time is listed once.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("a", 1);
   * store.set("b", 2);
   * console.log(store.list().sort()); // [ "a", "b" ]
   * ```
   */
  list(maxKeys?: number): string[];

  /**
   * Goes through the keys, in no order, fetching some at a time.
   *
   * Others may write meanwhile: a key that is there from the first step to the last comes exactly once, one that comes
   * or goes may or may not.
   *
   * @param options Which keys.
   * @returns An iterator over the keys.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("cpu/0", 12);
   * store.set("memory", 34);
   * for (const key of store.keys({ prefix: "cpu/" })) console.log(key); // cpu/0
   * ```
   */
  keys(options?: KeysOptions): Generator<string, void, undefined>;

  /**
   * Goes through the keys as {@linkcode Store.keys} does, with their values.
   *
   * @param options Which keys.
   * @returns An iterator over pairs of a key and its bytes, each read when the iterator comes to it.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("cpu/0", "idle");
   * for (const [key, value] of store.entries({ prefix: "cpu/" })) {
   *   console.log(key, value.length); // cpu/0 4
   * }
   * ```
   */
  entries(options?: KeysOptions): Generator<[key: string, value: Uint8Array<ArrayBuffer>], void, undefined>;

  /**
   * Tells the epoch of a key, which moves with every change of it.
   *
   * @param key The key.
   * @returns The epoch, or `null` if the key is not there. It is even while nobody is writing, grows by 2 with each
   * change, and never goes back.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * const seen = store.epoch("greeting");
   * store.set("greeting", "hi");
   * console.log(store.epoch("greeting") === seen); // false
   * ```
   */
  epoch(key: string): bigint | null;

  /**
   * Shows the slot of a key.
   *
   * @param key The key.
   * @returns The slot at this moment, or `null` if the key is not there.
   */
  getSlotSnapshot(key: string): SlotSnapshot | null;

  /**
   * Shows the header of the store.
   *
   * @returns The header at this moment.
   */
  getBusHeaderSnapshot(): BusHeaderSnapshot;

  /**
   * Waits for a key to change: to be set or deleted, by any process. The key need not be there. This blocks the thread,
   * and its event loop with it; {@linkcode Store.pollAsync} does not.
   *
   * @param key The key.
   * @param timeoutMs How long at most, in milliseconds; `Infinity` is for ever.
   * @returns Whether it changed; `false` is that the time ran out.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * console.log(store.poll("greeting", 1)); // false
   * ```
   */
  poll(key: string, timeoutMs: number): boolean;

  /**
   * Waits for a key to change as {@linkcode Store.poll} does, but lets the event loop go on.
   *
   * What is changed after the call has returned is seen. The promise is rejected if the arguments are wrong, too.
   *
   * @param key The key.
   * @param options How long at most, and what ends the wait.
   * @returns Whether it changed; `false` is that the time ran out.
   * @throws {ClosedError} If the store is closed meanwhile.
   * @throws {DOMException} If the signal is aborted: its reason, whatever that is.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const changed = store.pollAsync("greeting", { timeoutMs: 10_000 });
   * store.set("greeting", "hello");
   * console.log(await changed); // true
   * ```
   */
  pollAsync(key: string, options?: PollOptions): Promise<boolean>;

  /**
   * Watches keys: gives the newest state of each that has been changed, by any process. The keys need not be there.
   *
   * The watch begins during the call: what is changed after it has returned is seen, and the last state of a key always
   * comes. While a key waits to be taken, further changes of it are folded into the one event, and its epoch tells; so a
   * slow reader never holds up a writer, and never has more to catch up with than there are keys. A key that comes and
   * goes before anybody could look may pass unnoticed. Events come in the order of their `seq`.
   *
   * All watches of a store object share one thread. While one of them lives, so does the process.
   *
   * @param pattern A key, a glob such as `"cpu/*"`, an array of keys, or a prefix.
   * @param options What comes first, what comes along, and what ends it.
   * @returns The events, without end: see {@linkcode Watch} for how it ends.
   * @throws {KeyTooLongError} If a key is longer than the store's longest.
   * @throws {KeyInvalidError} If a key is empty or has a NUL or a lone surrogate.
   * @throws {InvalidArgumentError} If the pattern is none, or if `from` is a place that the changes have not reached.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const watch = store.watch("cpu/*");
   * store.set("cpu/0", "busy");
   * for await (const { key, kind, value } of watch) {
   *   console.log(key, kind, value?.length); // cpu/0 set 4
   *   break;
   * }
   * ```
   *
   * @example What exists first, then what changes, for some time
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("model/state", "loaded");
   * const signal = AbortSignal.timeout(50);
   * for await (const { key } of store.watch({ prefix: "model/" }, { initial: true, signal })) {
   *   console.log(key, store.getString(key)); // model/state loaded
   * }
   * ```
   */
  watch(pattern: WatchPattern, options?: WatchOptions): Watch;

  /**
   * Watches keys as {@linkcode Store.watch} does, and calls a function with each event.
   *
   * The function is never called before this has returned. What it throws is reported as an uncaught error, as of the
   * listeners of events, and the subscription goes on. However fast events come, timers and input get their turn. A
   * store that turns out to be damaged ends the subscription, which is reported as an uncaught error too.
   *
   * @param pattern A key, a glob such as `"cpu/*"`, an array of keys, or a prefix.
   * @param callback What is called with each event.
   * @param options What comes first, what comes along, and what ends it.
   * @returns A function that ends the subscription.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const unsubscribe = store.subscribe("greeting", ({ kind }) => console.log(kind)); // set
   * store.set("greeting", "hello");
   * await new Promise((resolve) => setTimeout(resolve, 50));
   * unsubscribe();
   * ```
   */
  subscribe(pattern: WatchPattern, callback: (event: WatchEvent) => void, options?: WatchOptions): Unsubscribe;

  /**
   * Follows all changes of the store, each by itself, without their values.
   *
   * The store remembers as many of the last changes as its option `journal` says. What it forgets before it was read is
   * told as `"lost"`, with how many they are, and is followed by one `"current"` for each key that exists; then the
   * changes go on. The items of all other kinds and the counts of `"lost"` add up to all changes there were, exactly.
   *
   * @param options Where to start, and what ends it. To go on after an item, pass `from: item.seq + 1n`, but
   * `from: item.seq` after a `"lost"` or a `"current"`.
   * @returns The changes, without end: see {@linkcode Watch} for how it ends.
   * @throws {InvalidArgumentError} If `from` is a place that the changes have not reached.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * store.set("greeting", "hi");
   * for await (const change of store.changes({ from: 0n })) {
   *   console.log(change.kind, change.seq); // set 0n, then set 1n
   *   if (change.seq === 1n) break;
   * }
   * ```
   */
  changes(options?: ChangesOptions): Watch<Change>;

  /**
   * Opens a channel: a `BroadcastChannel` among all processes that have the store open, in whichever runtime.
   *
   * Every message that is posted after the call has returned is delivered, but for those that come faster than they are
   * taken: of each sender about as many bytes wait as the store's largest value has (64 KiB at most), and a
   * `"messageerror"` says how many messages were lost. The messages of a sender come in their order, and come though it
   * has been closed.
   *
   * A store object that posts takes one key for each channel, `channel/NAME/NUMBER`, which stays.
   *
   * @param name The name of the channel.
   * @returns One end of the channel. Close it: while it is open, the process goes on.
   * @throws {KeyTooLongError} If the name is too long: it has 13 bytes less than the store's longest key.
   * @throws {KeyInvalidError} If the name has a NUL or a lone surrogate.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * using here = store.channel("chat");
   * using there = Splinter.open(store.path).channel("chat");
   * const heard = new Promise((resolve) => there.onmessage = ({ data }) => resolve(data));
   * here.postMessage({ text: "hello" });
   * console.log(await heard); // { text: "hello" }
   * ```
   */
  channel(name: string): Channel;

  /**
   * Whether replaced and deleted values are wiped. It is a property of the store: every process sees it, and setting it
   * counts from the next write of any of them.
   */
  autoVacuum: boolean;

  /**
   * Tells {@linkcode Store.autoVacuum} as a number.
   *
   * @returns 1 if it is on, 0 if it is off.
   */
  getAV(): 0 | 1;

  /**
   * Sets {@linkcode Store.autoVacuum} by number.
   *
   * @param on 1 for on, 0 for off.
   */
  setAV(on: 0 | 1): void;

  /**
   * Writes the store to its disk and returns when that is done. Processes may die without it; the machine may not.
   *
   * @throws {IoError} If the disk fails.
   */
  sync(): void;

  /**
   * Copies the store, as it is and while others write, to a new file.
   *
   * @param path The path of the copy, or a `file:` URL.
   * @throws {ExistsError} If there is something already.
   * @throws {PermissionError} If it must not be written.
   */
  backup(path: string | URL): void;

  /**
   * The path by which another process can open the store as a file, for an anonymous one as long as this process has it
   * open.
   */
  readonly path: string;

  /** Whether the store has not been closed. */
  readonly opened: boolean;

  /**
   * Closes the store for this object, and ends all that watches it. The store itself stays. Closing twice is harmless;
   * `using` closes by itself.
   */
  close(): void;

  /** Closes the store at the end of a `using` block. */
  [Symbol.dispose](): void;
}
