/**
 * An open store, whatever the runtime and whatever it lives in.
 *
 * @module
 */
import type { SplinterError } from "./errors.ts";
import type {
  BusHeaderSnapshot,
  Change,
  ChangesOptions,
  Channel,
  Entry,
  EpochCondition,
  Eviction,
  Key,
  KeyEntry,
  KeysOptions,
  LabelChange,
  NumberOptions,
  PollOptions,
  Recovery,
  SetOptions,
  SlotSnapshot,
  StoreValue,
  SumOptions,
  Unsubscribe,
  Watch,
  WatchEvent,
  WatchOptions,
  WatchPattern,
  WriteCondition,
  WriteResult,
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
   * Sets a key on a condition, as one step: that it is not there, that it is, or that it is as it was when its epoch was
   * read. That the condition does not hold is a result, and no error.
   *
   * @param key The key.
   * @param value A string, bytes, a bigint, or what has a JSON form.
   * @param options The condition, how long the key lives, and what the value is.
   * @returns Whether the condition held, and the key's epoch: the new one, or the one that was found instead.
   * @throws {SplinterError} As without a condition.
   *
   * @example A lock that is free again after ten seconds, whatever becomes of its holder
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const lock = store.set("lock", "me", { ifAbsent: true, ttlMs: 10_000 });
   * console.log(lock.ok); // true
   * console.log(store.set("lock", "you", { ifAbsent: true }).ok); // false
   * // Only if it is still ours.
   * if (lock.ok) store.unset("lock", { ifEpoch: lock.epoch });
   * ```
   */
  set(key: string, value: StoreValue, options: SetOptions & WriteCondition): WriteResult;

  /**
   * Sets a key, adding it if need be.
   *
   * Waits its turn behind another writer of the same key, for as long as `lockTimeoutMs` says. What the value is, is
   * remembered as its {@linkcode ValueType}.
   *
   * @param key The key: one byte or more of UTF-8 without NUL.
   * @param value A string, bytes, a bigint, or what has a JSON form.
   * @param options How long the key lives, and what the value is.
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
   * store.set("session", "token", { ttlMs: 60_000 });
   * ```
   */
  set(key: string, value: StoreValue, options?: SetOptions): void;

  /**
   * Sets a key as {@linkcode Store.set} does, but never waits, and leaves its type as it is.
   *
   * @param key The key.
   * @param value A string, bytes, a bigint, or what has a JSON form.
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
   * Deletes a key if it is as it was when its epoch was read, as one step.
   *
   * @param key The key.
   * @param condition The epoch that it must have.
   * @returns Whether it had, and its epoch: that of the deletion, or the one that was found instead.
   * @throws {BusyError} If another writer kept the key for too long.
   */
  unset(key: string, condition: EpochCondition): WriteResult;

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
   * Gets the bytes of a value with its epoch and its type, all of the same version.
   *
   * @param key The key.
   * @returns The value and what belongs to it, or `null` if the key is not there.
   *
   * @example Changing a value only if nobody else has
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("greeting", "hello");
   * const entry = store.getEntry("greeting");
   * console.log(entry?.type); // text
   * store.set("greeting", "hi");
   * console.log(store.set("greeting", "bye", { ifEpoch: entry?.epoch ?? null }).ok); // false
   * ```
   */
  getEntry(key: string): Entry | null;

  /**
   * Gets the bytes of many values by one call, which is quicker than one by one, above all in a store that is larger than
   * the processor's caches.
   *
   * Each value is whole; together they may be of different moments.
   *
   * @param keys The keys.
   * @returns For each key in turn the bytes, or `null` if it is not there.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.setMany([["a", "1"], ["b", "22"]]);
   * console.log(store.getMany(["b", "a", "c"]).map((value) => value?.length)); // [ 2, 1, undefined ]
   * ```
   */
  getMany(keys: Iterable<string>): (Uint8Array<ArrayBuffer> | null)[];

  /**
   * Sets many keys by one call, in their order.
   *
   * Each is set as one step, all together are not: others see some before the rest. Types stay as they are.
   *
   * @param entries Pairs of a key and a value.
   * @throws {SplinterError} As {@linkcode Store.set} does. The property `stored` tells how many were stored before: none,
   * if a value has no stored form.
   */
  setMany(entries: Iterable<readonly [key: string, value: StoreValue]>): void;

  /**
   * Replaces a value by what a function makes of it, as one step: if others write in between, the function is called again
   * with what they have left. The key keeps its time to live and its labels.
   *
   * @param key The key.
   * @param change Gets the bytes of the value, or `null` if the key is not there; returns the new value, or `undefined` to
   * leave things as they are. It must not wait for anything.
   * @returns The key's new epoch, or `null` if it was left as it is.
   * @throws {BusyError} If others were faster for as long as `lockTimeoutMs` says.
   * @throws {SplinterError} As {@linkcode Store.set} does, and whatever the function throws.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const decoder = new TextDecoder();
   * store.update("list", (old) => [...(old === null ? [] : JSON.parse(decoder.decode(old))), "new"]);
   * console.log(store.getJSON("list")); // [ "new" ]
   * ```
   */
  update(key: string, change: (value: Uint8Array<ArrayBuffer> | null) => StoreValue | undefined): bigint | null;

  /**
   * Puts bytes behind a value, or makes them the value of a new key, as one step. Others see the value before or after it,
   * never a part. The key keeps its time to live, type and labels.
   *
   * @param key The key.
   * @param data Bytes, or text.
   * @returns How many bytes the whole value has.
   * @throws {ValueTooLargeError} If the whole would be larger than the store's largest value.
   * @throws {SplinterError} As {@linkcode Store.set} does.
   *
   * @example A stream of tokens
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const decoder = new TextDecoder();
   * const watch = store.watch("answer", { appended: true });
   * store.append("answer", "Hello");
   * store.append("answer", " world");
   * for await (const { value, offset } of watch) {
   *   console.log(offset, decoder.decode(value!)); // 0 Hello world
   *   break;
   * }
   * ```
   */
  append(key: string, data: string | Uint8Array): number;

  /**
   * Looks at a value where it lies, without a copy: for large values of which little is needed.
   *
   * If somebody changes the value meanwhile, what the function made of it is thrown away, and it is called again; after
   * some times with a copy. So what this returns, or throws, was made of one whole value. But the function may see
   * bytes of several values mixed before it is called again, and must do nothing else than look.
   *
   * The bytes are gone when the function returns: an array that was kept has length 0 then. They must not be written to, nor
   * their buffer be transferred. Deno shows memory only with `--allow-ffi` for all paths; with less the bytes are a
   * copy, which is gone all the same.
   *
   * @typeParam T What the function returns.
   * @param key The key.
   * @param look Gets the bytes. It must not wait for anything.
   * @returns What the function returned, or `null` if the key is not there.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous({ maxValueSize: 1 << 20 });
   * store.set("image", new Uint8Array(1 << 20).fill(7));
   * console.log(store.view("image", (bytes) => bytes[1000])); // 7
   * ```
   */
  view<T>(key: string, look: (bytes: Uint8Array<ArrayBuffer>) => T): T | null;

  /**
   * Gives an object for one key, which is the quickest way to use a key again and again.
   *
   * @param key The key. It need not be there.
   * @returns The object, which keeps a little memory until it is closed, collected, or the store is closed.
   * @throws {KeyTooLongError} If the key is longer than the store's longest.
   * @throws {KeyInvalidError} If the key is empty or has a NUL or a lone surrogate.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const sensor = store.key("sensor/1");
   * sensor.set("21.5");
   * console.log(sensor.changed(), sensor.getString()); // true 21.5
   * console.log(sensor.changed()); // false
   * ```
   */
  key(key: string): Key;

  /**
   * Gives the keys that begin with a prefix as a store of their own, named by what comes behind it.
   *
   * That is a manner of speaking: each key can be reached by its full name too. Errors name it so. What concerns the
   * store as a whole concerns all of it, such as {@linkcode Store.eviction}, {@linkcode Store.sweep} and
   * {@linkcode Store.close}.
   *
   * @param prefix The prefix.
   * @returns The keys that begin with it.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * const demo = store.namespace("demo::");
   * demo.set("a", "1");
   * console.log(demo.list(), store.list()); // [ "a" ] [ "demo::a" ]
   * ```
   */
  namespace(prefix: string): Store;

  /**
   * Gives a key a time to live, from now on. Its value and epoch stay as they are.
   *
   * When the time is up the key is not there any more for anybody, without anything having to run. The deadline is a time
   * of the machine's clock: it holds across a restart of the machine, and if somebody sets the clock, keys live longer or
   * shorter.
   *
   * @param key The key.
   * @param ttlMs How long, in milliseconds, more than 0: a part of one counts as a whole.
   * @returns Whether the key is there.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("session", "token", { ttlMs: 1000 });
   * store.expire("session", 60_000);
   * console.log(store.persist("session"), store.ttl("session")); // true Infinity
   * ```
   */
  expire(key: string, ttlMs: number): boolean;

  /**
   * Lets a key live for ever.
   *
   * @param key The key.
   * @returns Whether it had a time to live.
   */
  persist(key: string): boolean;

  /**
   * Tells how long a key has yet to live.
   *
   * @param key The key.
   * @returns The time in milliseconds, `Infinity` if it is for ever, or `null` if the key is not there.
   */
  ttl(key: string): number | null;

  /**
   * Deletes all keys whose time is up, so that watches hear of it and their bytes are wiped. Nobody can read them anyway. The
   * option `sweepIntervalMs` does it again and again.
   *
   * @returns How many there were.
   */
  sweep(): number;

  /**
   * What goes when a key is set in a store that is full. It is a property of the store: every process sees it, and setting it
   * counts from the next write of any of them. With `"lru"` reading a key marks it as used.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using cache = Splinter.anonymous({ slots: 1, eviction: "lru" });
   * cache.set("old", "1");
   * cache.set("new", "2");
   * console.log(cache.list()); // [ "new" ]
   * ```
   */
  eviction: Eviction;

  /**
   * Says whether a key is pinned: such a key is never evicted.
   *
   * @param key The key.
   * @param pinned Whether it is.
   * @returns Whether the key is there.
   */
  pin(key: string, pinned?: boolean): boolean;

  /**
   * Gets a number of 64 bits, such as {@linkcode Store.add} makes and a bigint is stored as.
   *
   * @param key The key.
   * @returns The number, signed if the type of the value is `"bigint"`, or `null` if the key is not there.
   * @throws {WrongTypeError} If the value has not 8 bytes.
   */
  getBigInt(key: string): bigint | null;

  /**
   * Adds to a number, as one step. A key that is not there is 0 before.
   *
   * The number is stored in 8 bytes, little-endian. The key keeps its time to live, type and labels.
   *
   * @param key The key.
   * @param operand What is added.
   * @param options Whether the numbers have a sign, and what becomes of a sum that does not fit.
   * @returns The new number.
   * @throws {WrongTypeError} If the value has not 8 bytes.
   * @throws {OverflowError} If the sum does not fit and `checked` was asked for.
   * @throws {InvalidArgumentError} If the operand is not a whole number of that size.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * console.log(store.add("visits", 1)); // 1n
   * console.log(store.add("visits", 41n)); // 42n
   * console.log(store.sub("balance", 5, { signed: true })); // -5n
   * ```
   */
  add(key: string, operand: bigint | number, options?: SumOptions): bigint;

  /**
   * Subtracts from a number as {@linkcode Store.add} adds to it.
   *
   * @param key The key.
   * @param operand What is subtracted.
   * @param options Whether the numbers have a sign, and what becomes of a difference that does not fit.
   * @returns The new number.
   */
  sub(key: string, operand: bigint | number, options?: SumOptions): bigint;

  /**
   * Keeps of a number the bits that the operand has too, as one step.
   *
   * @param key The key.
   * @param operand The bits.
   * @param options Whether the numbers have a sign.
   * @returns The new number.
   */
  and(key: string, operand: bigint | number, options?: NumberOptions): bigint;

  /**
   * Sets bits of a number, as one step.
   *
   * @param key The key.
   * @param operand The bits.
   * @param options Whether the numbers have a sign.
   * @returns The new number.
   */
  or(key: string, operand: bigint | number, options?: NumberOptions): bigint;

  /**
   * Flips bits of a number, as one step.
   *
   * @param key The key.
   * @param operand The bits.
   * @param options Whether the numbers have a sign.
   * @returns The new number.
   */
  xor(key: string, operand: bigint | number, options?: NumberOptions): bigint;

  /**
   * Flips all bits of a number, as one step.
   *
   * @param key The key.
   * @param options Whether the numbers have a sign.
   * @returns The new number.
   */
  not(key: string, options?: NumberOptions): bigint;

  /**
   * Gives a key labels and takes others away, as one step. There are 64, by which keys can be listed and watched.
   *
   * @param key The key.
   * @param change Those to add and those to remove; one that is in both is added.
   * @returns All labels that the key has then, as {@linkcode Store.labels} does.
   * @throws {InvalidArgumentError} If a label has no such name, or there is no such label.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.nameLabel(0, "hot");
   * store.set("cpu/0", "99");
   * store.set("cpu/1", "1");
   * console.log(store.label("cpu/0", { add: ["hot", 5] })); // [ "hot", 5 ]
   * console.log([...store.keys({ labels: "hot" })]); // [ "cpu/0" ]
   * ```
   */
  label(key: string, change: LabelChange): (string | number)[] | null;

  /**
   * Tells the labels of a key.
   *
   * @param key The key.
   * @returns Their names, or their numbers where they have none, or `null` if the key is not there.
   */
  labels(key: string): (string | number)[] | null;

  /**
   * Names a label, for all who use the store.
   *
   * @param label The number of the label, from 0 to 63.
   * @param name The name: at most 56 bytes; the empty one takes its name away.
   * @throws {InvalidArgumentError} If another label has that name, or it is too long.
   */
  nameLabel(label: number, name: string): void;

  /**
   * Tells the names of labels.
   *
   * @returns The names, by the numbers of the labels.
   */
  labelNames(): Map<number, string>;

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
   * @param maxKeys How many at most: 1000 if not said.
   * @param options Which keys.
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
  list(maxKeys?: number, options?: KeysOptions): string[];

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
   * Goes through the keys as {@linkcode Store.keys} does, with what belongs to their values.
   *
   * @param options Which keys.
   * @returns An iterator over the keys, with their epochs, types, sizes and labels.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * using store = Splinter.anonymous();
   * store.set("cpu", { user: 12 });
   * for (const { key, type, size } of store.scan()) console.log(key, type, size); // cpu json 11
   * ```
   */
  scan(options?: KeysOptions): Generator<KeyEntry, void, undefined>;

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
   * Puts everything on the disk that was written before, by whomever, and returns when it is there. Processes may die without
   * it; the machine may not. Without effect on shared memory.
   *
   * After a power cut each key has a value at least as new as the last sync, never a mixture. It is written to a file beside the
   * store, of the same name with `.checkpoint` behind.
   *
   * @throws {IoError} If the disk fails, or did so before: the system forgets what it could not write.
   * @throws {NoSpaceError} If the disk is full, or was.
   *
   * @example Usage
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * using store = Splinter.create(path);
   * store.set("greeting", "hello");
   * store.sync();
   * Splinter.remove(path);
   * ```
   */
  sync(): void;

  /**
   * The failure with which every sync of this store object fails from now on, or `null` if none has failed: that of
   * {@linkcode Store.sync}, or one that the option `durability` asked for. A write that fails while this is `null` has changed
   * nothing; one that fails with this has been made, and is not on the disk.
   */
  readonly syncFailure: SplinterError | null;

  /**
   * What was done when this store object opened the store after the machine had been restarted, or `null` if it was not
   * restarted, if there was no checkpoint, or if somebody else was first.
   */
  readonly recovery: Recovery | null;

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
   *
   * @throws {SplinterError} If the store was to be synced at intervals and that has failed, now or before. It is closed then.
   */
  close(): void;

  /** Closes the store at the end of a `using` block. */
  [Symbol.dispose](): void;
}
