/**
 * What goes into a store and what is told about it.
 *
 * @module
 */

/**
 * A value that can be set.
 *
 * - A string is stored as UTF-8 (a lone surrogate becomes U+FFFD, as in every text encoder of the web platform).
 * - A `Uint8Array`, any other view, an `ArrayBuffer` or a `SharedArrayBuffer` is stored byte for byte.
 * - A number, a boolean, `null`, an array or a plain object is stored as JSON.
 * - A bigint is stored as 8 bytes, little-endian, as the numbers of {@linkcode Store.add} are.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type StoreValue } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const values: StoreValue[] = ["text", 12, 12n, true, null, [1, 2], { a: 1 }, new Uint8Array(3)];
 * for (const [i, value] of values.entries()) store.set(`value/${i}`, value);
 * ```
 */
export type StoreValue = string | number | bigint | boolean | null | object;

/**
 * What a value is. A string that is set is `"text"`, a bigint `"biguint"` or, below 0, `"bigint"`, what has a JSON form
 * `"json"`; bytes leave a key the type that it has. A key of which nothing was said is `"void"`.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type ValueType } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const type: ValueType = "image";
 * store.set("logo", new Uint8Array([0x89, 0x50, 0x4e, 0x47]), { type });
 * console.log(store.getEntry("logo")?.type); // image
 * ```
 */
export type ValueType = "void" | "bigint" | "biguint" | "json" | "binary" | "image" | "audio" | "text";

/**
 * What goes when a key is set in a store that is full.
 *
 * - `"none"`: nothing; a new key is a `FullError`.
 * - `"ttl"`: what has run out of time, else the key that would do so next. Keys without a time to live stay.
 * - `"lru"`: a key that was not used for a long time, approximately the one that was not used for longest.
 *
 * A pinned key is never evicted: see {@linkcode Store.pin}.
 *
 * @example Usage
 * ```ts
 * import { type Eviction, Splinter } from "@splinter/ffi";
 *
 * const eviction: Eviction = "lru";
 * using store = Splinter.anonymous({ slots: 2, eviction });
 * for (let i = 0; i < 10; i++) store.set(`page/${i}`, i);
 * console.log(store.list().length); // 2
 * ```
 */
export type Eviction = "none" | "ttl" | "lru";

/**
 * What a power cut may take of what was written. The death of a process takes nothing, whatever this is.
 *
 * - `"none"`: what was written since the last {@linkcode Store.sync}.
 * - `{ intervalMs }`: what was written in so many milliseconds and the time of a sync. A thread of the native library syncs
 *   again and again, for all who write to the store, and once more when this store object is closed.
 * - `"commit"`: nothing that a write of this store object has returned from. Each waits for the disk.
 *
 * @example Usage
 * ```ts
 * import { type Durability, Splinter } from "@splinter/ffi";
 *
 * const durability: Durability = { intervalMs: 100 };
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * const store = Splinter.create(path, { durability });
 * store.set("order", "paid"); // on the disk after 100 ms
 * store.close(); // and at the latest now
 * Splinter.remove(path);
 * ```
 */
export type Durability = "none" | "commit" | {
  /** How often the store is synced, in milliseconds, from 1 on. While nothing changes nothing is written. */
  intervalMs: number;
};

/**
 * What was done to a store that was opened after a restart of the machine: see {@linkcode Store.recovery}.
 *
 * @example Usage
 * ```ts
 * import { type Recovery, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const recovery: Recovery | null = store.recovery;
 * console.log(recovery?.lost ?? "There was nothing to recover");
 * ```
 */
export interface Recovery {
  /** How many keys were found whole in the store itself. */
  kept: number;
  /** How many keys were taken from the checkpoint. */
  restored: number;
  /** How many keys are gone: those that were written after the last sync, were not whole, and are in no checkpoint. */
  lost: number;
}

/**
 * Labels: the number of one, from 0 to 63; a name that {@linkcode Store.nameLabel} gave it; several as a bigint with a
 * bit for each; or an array of these.
 *
 * @example Usage
 * ```ts
 * import { type Labels, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const labels: Labels = [0, 5];
 * store.set("cpu/0", 17);
 * store.label("cpu/0", { add: labels });
 * console.log([...store.keys({ labels: 5 })]); // [ "cpu/0" ]
 * ```
 */
export type Labels = string | number | bigint | readonly (string | number | bigint)[];

/**
 * How the library is found; part of all options.
 *
 * @example Usage
 * ```ts
 * import { type LibraryOptions, Splinter } from "@splinter/ffi";
 *
 * // A program made by "deno compile" may have the library beside it.
 * const options: LibraryOptions = Deno.build.standalone
 *   ? { libPath: `${Deno.execPath()}/../libsplinter_bus.so` }
 *   : {};
 * using store = Splinter.anonymous(options);
 * ```
 */
export interface LibraryOptions {
  /**
   * The path of the native library, or its `file:` URL, instead of a search.
   *
   * It is not needed where the npm package `splinter-bus` is installed, nor in a program made by `bun build --compile`,
   * which has the library in it. A program made by `deno compile` has what is named by `--include`: import
   * `splinter-bus` from npm, and include the path that `libraryPath()` of `splinter-bus/native` gives. A library beside
   * the program is `join(dirname(process.execPath), "libsplinter_bus.so")`.
   */
  libPath?: string | URL;
}

/**
 * What reads and writes a store: see {@linkcode SplinterOptions.engine}.
 *
 * @example The native one where it may be, and the other elsewhere
 * ```ts
 * import { type Engine, Splinter } from "@splinter/ffi";
 *
 * const { state } = await Deno.permissions.query({ name: "ffi" });
 * const engine: Engine = state === "granted" ? "native" : "file";
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * using store = Splinter.create(path, { engine });
 * store.set("greeting", "hello");
 * Deno.removeSync(path);
 * ```
 */
export type Engine = "native" | "file";

/**
 * How an anonymous store is made. All of it is optional.
 *
 * @example Usage
 * ```ts
 * import { type AnonymousOptions, Splinter } from "@splinter/ffi";
 *
 * const options: AnonymousOptions = { slots: 64, maxValueSize: 1 << 20, autoVacuum: false };
 * using store = Splinter.anonymous(options);
 * console.log(store.getBusHeaderSnapshot().slots); // 64
 * ```
 */
export interface AnonymousOptions extends LibraryOptions {
  /** How many keys fit, 1 to 2^26. 1024 if not said. */
  slots?: number;
  /** The largest value in bytes, 1 to 2^30. 4096 if not said. */
  maxValueSize?: number;
  /** The longest key in bytes, 1 to 1024. 64 if not said. */
  maxKeySize?: number;
  /**
   * How many of the last changes the store remembers, 64 to 2^24, rounded up to a power of two. Four for each slot, but
   * from 4,096 to 2^20, if not said.
   */
  journal?: number;
  /**
   * Whether a new store wipes what is replaced or deleted. `true` if not said. An existing store stays as it is; see
   * {@linkcode Store.autoVacuum}.
   */
  autoVacuum?: boolean;
  /**
   * How long a write waits for another writer of the same key, in milliseconds, before it is a `BusyError`. 1000 if not
   * said.
   */
  lockTimeoutMs?: number;
  /**
   * What goes when a store is full. `"none"` if not said. It counts when the store is created; an existing one stays as it is:
   * see {@linkcode Store.eviction}.
   */
  eviction?: Eviction;
  /**
   * How often this store object deletes the keys whose time is up, in milliseconds, so that watches hear of them soon and
   * their bytes are wiped. Never if not said, for nobody can read such a key anyway. One process that does it suffices. It
   * does not keep the process alive.
   */
  sweepIntervalMs?: number;
  /**
   * How long a wait spins before it sleeps, in microseconds, 0 to 1,000,000. 5 if not said, but none on a machine with
   * one processor.
   */
  spinUs?: number;
  /**
   * How long a wait sleeps at most before it looks again, in milliseconds, though nobody has woken it. For file systems
   * on which the system's wake-ups do not reach every process, such as network file systems; elsewhere it only costs
   * time. If not said, a wait sleeps until it is woken.
   */
  pollIntervalMs?: number;
}

/**
 * How a store is opened or made. All of it is optional.
 *
 * What describes the shape of a store (`slots`, `maxValueSize`, `maxKeySize`, `journal`) counts when it is created.
 * Opening an existing store of another shape than the one asked for is an `IncompatibleError`.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type SplinterOptions } from "@splinter/ffi";
 *
 * const options: SplinterOptions = { memory: true, slots: 64, mode: 0o660 };
 * const name = `example-${crypto.randomUUID()}`;
 * using store = Splinter.openOrCreate(name, options);
 * Splinter.remove(name, { memory: true });
 * ```
 */
export interface SplinterOptions extends AnonymousOptions {
  /** Whether the name is one of shared memory rather than a path of a file. */
  memory?: boolean;
  /** Whether the store is only read. Needs no more than read permission. */
  readOnly?: boolean;
  /** The permission bits of a new store, such as `0o640`. `0o600` if not said. */
  mode?: number;
  /**
   * What reads and writes the store. `"native"` if not said.
   *
   * - `"native"`: the native library, by memory access.
   * - `"file"`: TypeScript alone, by reads and writes of the same file, for places where foreign functions are not
   *   permitted. It reads beside any number of writers of any kind, each value whole. It writes only alone: opening is a
   *   `BusyError` while anybody else, native or not, has the store open for writing, and they cannot open it meanwhile.
   *   Writing takes a runtime that locks files without foreign functions, which Deno does; elsewhere it is an
   *   `UnsupportedError` without `readOnly`. So are {@linkcode Store.watch}, {@linkcode Store.subscribe},
   *   {@linkcode Store.changes}, {@linkcode Store.channel}, {@linkcode Store.pollAsync}, {@linkcode Store.sync},
   *   {@linkcode Store.backup} and a `durability` but `"none"` with this engine.
   *
   * A store that was synced may be torn after a restart of the machine, until the native library has opened it for writing. This
   * engine refuses it then, and in Deno takes `--allow-all` to see whether there was one; for any other store the permission to
   * read or write the file suffices.
   *
   * A read costs some microseconds. Where a key is overwritten without a pause for as long as `lockTimeoutMs`, reading
   * it may be a `BusyError`: only who may lock the key can make a writer wait.
   *
   * @example Reading without the native library
   * ```ts
   * import { Splinter } from "@splinter/ffi";
   *
   * const path = `/tmp/${crypto.randomUUID()}.splinter`;
   * using store = Splinter.create(path);
   * store.set("greeting", "hello");
   * using reader = Splinter.open(path, { engine: "file", readOnly: true });
   * console.log(reader.getString("greeting")); // hello
   * Splinter.remove(path);
   * ```
   */
  engine?: Engine;
  /**
   * What a power cut may take of what is written by this store object. `"none"` if not said. Without effect on shared memory,
   * of which a power cut leaves nothing; only `"none"` goes with `readOnly`.
   *
   * A sync that fails is told by the write that waited for it, or by {@linkcode Store.close} if none did, and stays to be seen
   * in {@linkcode Store.syncFailure}.
   */
  durability?: Durability;
}

/**
 * How a store is removed.
 *
 * @example Usage
 * ```ts
 * import { type RemoveOptions, Splinter } from "@splinter/ffi";
 *
 * const options: RemoveOptions = { memory: true };
 * console.log(Splinter.remove(`example-${crypto.randomUUID()}`, options)); // false, for there is none
 * ```
 */
export interface RemoveOptions extends LibraryOptions {
  /** Whether the name is one of shared memory rather than a path of a file. */
  memory?: boolean;
}

/**
 * Which keys are asked for.
 *
 * @example Usage
 * ```ts
 * import { type KeysOptions, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("cpu/0", 17);
 * store.set("disk/0", 3);
 * const options: KeysOptions = { prefix: "cpu/" };
 * console.log([...store.keys(options)]); // [ "cpu/0" ]
 * ```
 */
export interface KeysOptions {
  /** Only keys that begin with this. */
  prefix?: string;
  /** Only keys that have all of these labels. */
  labels?: Labels;
}

/**
 * A key, and what belongs to its value.
 *
 * @example Usage
 * ```ts
 * import { type KeyEntry, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * const described = ({ key, type, size }: KeyEntry) => `${key}: ${size} bytes of ${type}`;
 * console.log([...store.scan()].map(described)); // [ "greeting: 5 bytes of text" ]
 * ```
 */
export interface KeyEntry {
  /** The key. */
  key: string;
  /** The epoch. */
  epoch: bigint;
  /** What the value is. */
  type: ValueType;
  /** How many bytes the value has. */
  size: number;
  /** The labels, one bit each. */
  labels: bigint;
}

/**
 * A value, and what belongs to the same version of it.
 *
 * @example Usage
 * ```ts
 * import { type Entry, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * const entry: Entry | null = store.getEntry("greeting");
 * if (entry) store.set("greeting", "bye", { ifEpoch: entry.epoch }); // unless somebody else was quicker
 * ```
 */
export interface Entry {
  /** The bytes; those of the receiver, though they may share their `ArrayBuffer` with other values. */
  value: Uint8Array<ArrayBuffer>;
  /** The epoch: for {@linkcode EpochCondition.ifEpoch}. */
  epoch: bigint;
  /** What the value is. */
  type: ValueType;
}

/**
 * What a write says besides the value.
 *
 * @example Usage
 * ```ts
 * import { type SetOptions, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const session: SetOptions = { ttlMs: 60_000 };
 * store.set("session/1", { user: "ann" }, session);
 * console.log(store.ttl("session/1")); // 60000, or a little less
 * ```
 */
export interface SetOptions {
  /**
   * How long the key lives, in milliseconds: a part of one counts as a whole. A key that is set without it, and without
   * `keepTtl`, lives for ever, whatever it had before.
   */
  ttlMs?: number;
  /** Whether the key keeps the time to live that it has. */
  keepTtl?: boolean;
  /** What the value is, if that does not follow from the JavaScript value. */
  type?: ValueType;
}

/**
 * A write that happens only if the key is as it was when its epoch was read.
 *
 * @example Usage
 * ```ts
 * import { type EpochCondition, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const missing: EpochCondition = { ifEpoch: null };
 * console.log(store.set("lock", "me", missing).ok); // true
 * console.log(store.set("lock", "you", missing).ok); // false
 * ```
 */
export interface EpochCondition {
  /**
   * The epoch that the key must have, such as that of {@linkcode Store.getEntry} or {@linkcode Store.epoch}; `null` is that
   * there must be no such key.
   */
  ifEpoch: bigint | null;
}

/**
 * What must be so for a write to happen: one of the three.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type WriteCondition } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const once: WriteCondition = { ifAbsent: true };
 * console.log(store.set("leader", "me", once).ok); // true
 * console.log(store.set("leader", "you", once).ok); // false
 * ```
 */
export type WriteCondition = EpochCondition | {
  /** Whether there must be no such key. */
  ifAbsent: boolean;
} | {
  /** Whether there must be such a key. */
  ifPresent: boolean;
};

/**
 * What became of a write on a condition: `ok` tells whether it happened.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type WriteResult } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const result: WriteResult = store.set("lock", "me", { ifAbsent: true });
 * if (result.ok) store.unset("lock", { ifEpoch: result.epoch }); // only if it is still ours
 * ```
 */
export type WriteResult = {
  /** The condition held, and the write happened. */
  ok: true;
  /** The key's epoch after it. */
  epoch: bigint;
} | {
  /** The condition did not hold, and nothing was changed. */
  ok: false;
  /** The epoch that the key has instead; `null` if there is no such key. */
  epoch: bigint | null;
};

/**
 * How a number is changed.
 *
 * @example Usage
 * ```ts
 * import { type NumberOptions, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const signed: NumberOptions = { signed: true };
 * console.log(store.add("balance", -5, signed)); // -5n
 * ```
 */
export interface NumberOptions {
  /** Whether the numbers are from -2^63 to 2^63-1 rather than from 0 to 2^64-1. `false` if not said. */
  signed?: boolean;
}

/**
 * How a number is added to or subtracted from.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type SumOptions } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const careful: SumOptions = { signed: true, checked: true };
 * console.log(store.add("balance", -5, careful)); // -5n
 * ```
 */
export interface SumOptions extends NumberOptions {
  /** Whether a result that does not fit is an `OverflowError`. If not said, it begins anew at the other end. */
  checked?: boolean;
}

/**
 * Which labels a key gets and loses.
 *
 * @example Usage
 * ```ts
 * import { type LabelChange, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const change: LabelChange = { add: [1, 2], remove: 0 };
 * store.set("cpu/0", 17);
 * store.label("cpu/0", change);
 * console.log(store.labels("cpu/0")); // [ 1, 2 ]
 * ```
 */
export interface LabelChange {
  /** Those that it gets. */
  add?: Labels;
  /** Those that it loses. */
  remove?: Labels;
}

/**
 * Which keys are watched.
 *
 * - A string is a key, or, if it contains `*` or `?`, a glob for the whole key: `*` stands for any characters, `/` too,
 *   or none, `?` for one character, and a backslash before a character takes it literally.
 * - An array has keys, taken literally.
 * - A prefix selects the keys that begin with it; the empty one selects all.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type WatchPattern } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const patterns: WatchPattern[] = ["job/*", ["job/1", "job/2"], { prefix: "job/" }];
 * for (const pattern of patterns) {
 *   using watch = store.watch(pattern, { initial: true });
 *   store.set("job/1", "done");
 *   console.log((await watch.next()).value?.key); // job/1
 * }
 * ```
 */
export type WatchPattern = string | readonly string[] | { readonly prefix: string };

/**
 * How a reader of changes is started and ended.
 *
 * @example Usage
 * ```ts
 * import { type ChangesOptions, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const ended = new AbortController();
 * const options: ChangesOptions = { signal: ended.signal };
 * using changes = store.changes(options);
 * ended.abort();
 * console.log((await changes.next()).done); // true
 * ```
 */
export interface ChangesOptions {
  /** Ends it. */
  signal?: AbortSignal;
  /** The `seq` of the first change that is wanted. If not said, what changes from now on. */
  from?: bigint;
}

/**
 * How keys are watched.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type WatchOptions } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const options: WatchOptions = { initial: true, values: false };
 * store.set("greeting", "hello");
 * for await (const { key, value } of store.watch("greeting", options)) {
 *   console.log(key, value); // greeting null
 *   break;
 * }
 * ```
 */
export interface WatchOptions extends ChangesOptions {
  /**
   * Whether the keys that exist come first, as if they had just been set. `false` if not said.
   */
  initial?: boolean;
  /**
   * The `seq` of the first change that is wanted, such as that of the last event plus one. If the store does not
   * remember that far back, the keys that exist come as if they had just been set. Keys that were deleted before the
   * watch began are not told, since the store has wiped their names. If not said, what changes from now on.
   */
  from?: bigint;
  /** Whether events bring the values. `true` if not said. */
  values?: boolean;
  /**
   * Whether an event brings only what is new of a value that was merely appended to since the event before: `offset` tells
   * where that begins. `false` if not said. For streams such as the tokens of a model.
   */
  appended?: boolean;
  /**
   * Only keys that have all of these labels. One that gets them comes as if it had just been set; one that loses them is
   * not told. A key that had them and is deleted comes too, unless it was deleted before the watch began.
   */
  labels?: Labels;
}

/**
 * The newest state of a key that has changed.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type WatchEvent } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const print = ({ kind, key, epoch }: WatchEvent) => console.log(kind, key, epoch); // set greeting 2n
 * using watch = store.watch("greeting");
 * store.set("greeting", "hello");
 * const { value: event } = await watch.next();
 * if (event) print(event);
 * ```
 */
export interface WatchEvent {
  /** The key. */
  key: string;
  /** The key's epoch: greater by 2 than that of the event before it, or by more if changes were folded into this one. */
  epoch: bigint;
  /** The place of the change, or of the first of the changes, among all changes of the store. */
  seq: bigint;
  /**
   * What happened to the key: it was set, deleted, deleted because its time was up, or deleted to make room for another.
   * Bytes that were appended are `"set"` too.
   */
  kind: "set" | "unset" | "expired" | "evicted";
  /** Where in the whole value the bytes begin: 0, unless the watch is told only what is appended. */
  offset: number;
  /**
   * The value, or `null` if the key was deleted or the watch goes without values. The bytes are those of the receiver,
   * but may share their `ArrayBuffer` with other values.
   */
  value: Uint8Array<ArrayBuffer> | null;
}

/**
 * A change of a key, or, after changes were lost, the state of a key.
 *
 * @example Usage
 * ```ts
 * import { type KeyChange, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const print = ({ seq, kind, key }: KeyChange) => console.log(seq, kind, key); // 0n set greeting
 * using changes = store.changes();
 * store.set("greeting", "hello");
 * const { value: change } = await changes.next();
 * if (change && change.kind !== "lost" && change.kind !== "vanished") print(change);
 * ```
 */
export interface KeyChange {
  /**
   * What happened to the key: `"expired"` and `"evicted"` are that it was deleted because its time was up, or to make room;
   * `"attributes"` is that its labels, its time to live or its pin changed, and its value did not; `"current"` is that it
   * exists after changes were lost.
   */
  kind: "set" | "unset" | "expired" | "appended" | "evicted" | "attributes" | "current";
  /** The place among all changes of the store; of `"current"` that of the first change that was lost. */
  seq: bigint;
  /** The key. */
  key: string;
  /** The key's epoch. */
  epoch: bigint;
}

/**
 * A change of a key that has been deleted since, and whose name the store has wiped.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type VanishedChange } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const print = ({ seq }: VanishedChange) => console.log(`Change ${seq} was of a key that is gone`);
 * using changes = store.changes();
 * store.set("secret", "x");
 * store.unset("secret");
 * const { value: change } = await changes.next();
 * if (change?.kind === "vanished") print(change);
 * ```
 */
export interface VanishedChange {
  /** Always `"vanished"`. */
  kind: "vanished";
  /** The place among all changes of the store. */
  seq: bigint;
}

/**
 * Changes that the store had forgotten before they were read. The keys that exist follow, as `"current"`.
 *
 * @example Usage
 * ```ts
 * import { type LostChanges, Splinter } from "@splinter/ffi";
 *
 * const print = ({ count, seq }: LostChanges) => console.log(`${count} changes from ${seq} on are not remembered`);
 * using store = Splinter.anonymous({ slots: 1, journal: 64 });
 * using changes = store.changes();
 * for (let i = 0; i < 1000; i++) store.set("counter", i);
 * const { value: change } = await changes.next();
 * if (change?.kind === "lost") print(change);
 * ```
 */
export interface LostChanges {
  /** Always `"lost"`. */
  kind: "lost";
  /** The place of the first of them among all changes of the store. */
  seq: bigint;
  /** How many they are. */
  count: bigint;
}

/**
 * What a reader of all changes is told.
 *
 * @example Usage
 * ```ts
 * import { type Change, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using changes = store.changes();
 * store.set("greeting", "hello");
 * const change: Change | undefined = (await changes.next()).value;
 * console.log(change?.kind); // set
 * ```
 */
export type Change = KeyChange | VanishedChange | LostChanges;

/**
 * What is told of a store, one item at a time and without end.
 *
 * It ends at once when it is returned from (as by `break`), disposed of, aborted or the store is closed: a `next()` that
 * waits is done then, and so is every later one. While it lives, so does the process.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type Watch } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using watch: Watch = store.watch("greeting");
 * store.set("greeting", "hello");
 * console.log((await watch.next()).value?.kind); // set
 * ```
 */
export interface Watch<T = WatchEvent> extends AsyncIterableIterator<T, undefined, undefined>, Disposable {
  /**
   * Waits for the next item. Calls that overlap are answered in their order.
   *
   * @returns The item, or that there are no more.
   */
  next(): Promise<IteratorResult<T, undefined>>;

  /**
   * Ends it.
   *
   * @returns That there are no more items.
   */
  return(): Promise<IteratorReturnResult<undefined>>;

  /** Gives itself. */
  [Symbol.asyncIterator](): Watch<T>;

  /** Ends it at the end of a `using` block. */
  [Symbol.dispose](): void;

  /** Ends it at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Ends a subscription. Calling it twice is harmless; `using` calls it too.
 *
 * @example Usage
 * ```ts
 * import { Splinter, type Unsubscribe } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const stop: Unsubscribe = store.subscribe("greeting", ({ kind }) => console.log(kind));
 * stop();
 * ```
 */
export interface Unsubscribe extends Disposable {
  /** Ends the subscription: its callback is not called any more. */
  (): void;
}

/**
 * How a change is awaited.
 *
 * @example Usage
 * ```ts
 * import { type PollOptions, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const options: PollOptions = { timeoutMs: 10 };
 * console.log(await store.pollAsync("greeting", options)); // false, for nobody has set it
 * ```
 */
export interface PollOptions {
  /** How long at most, in milliseconds. For ever if not said. */
  timeoutMs?: number;
  /** Ends the wait with its reason. */
  signal?: AbortSignal;
}

/**
 * One key of a store, encoded once and looked for where it was found last: for keys that are used again and again.
 *
 * {@linkcode Store.key} gives one. It needs no key to be there, and goes on when the key is deleted and set anew. It is of no
 * use once its store is closed; {@linkcode Key.close} gives its memory back earlier.
 *
 * @example Usage
 * ```ts
 * import { type Key, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using counter: Key = store.key("counter");
 * for (let i = 0; i < 1000; i++) counter.set(i);
 * console.log(counter.getString()); // 999
 * ```
 */
export interface Key extends Disposable {
  /** The key. */
  readonly name: string;

  /**
   * Gets the bytes of the value, as {@linkcode Store.getRaw} does.
   *
   * @returns The bytes, or `null` if the key is not there.
   */
  get(): Uint8Array<ArrayBuffer> | null;

  /**
   * Gets the bytes of the value: another name for {@linkcode Key.get}.
   *
   * @returns The bytes, or `null` if the key is not there.
   */
  getRaw(): Uint8Array<ArrayBuffer> | null;

  /**
   * Gets the bytes of the value into memory that the caller has, as {@linkcode Store.getInto} does.
   *
   * @param buffer Where the bytes go; what lies behind them is left alone.
   * @returns How many bytes the value has, or `null` if the key is not there.
   * @throws {InvalidArgumentError} If the value does not fit; the buffer is left alone then.
   */
  getInto(buffer: Uint8Array): number | null;

  /**
   * Gets the value as text, as {@linkcode Store.getString} does.
   *
   * @returns The text, or `null` if the key is not there.
   */
  getString(): string | null;

  /**
   * Sets the key, as {@linkcode Store.set} does without options.
   *
   * @param value A string, bytes, a bigint, or what has a JSON form.
   */
  set(value: StoreValue): void;

  /**
   * Deletes the key, as {@linkcode Store.unset} does.
   *
   * @returns How many bytes its value had, or `null` if it was not there.
   */
  unset(): number | null;

  /**
   * Tells whether the key is there.
   *
   * @returns Whether it is.
   */
  has(): boolean;

  /**
   * Tells the epoch of the key, as {@linkcode Store.epoch} does.
   *
   * @returns The epoch, or `null` if the key is not there.
   */
  epoch(): bigint | null;

  /**
   * Tells whether the key was set or deleted since this was asked last, or since the object was made. It is the cheapest
   * question there is.
   *
   * @returns Whether it was.
   */
  changed(): boolean;

  /**
   * Puts bytes behind the value, as {@linkcode Store.append} does.
   *
   * @param data Bytes, or text.
   * @returns How many bytes the whole value has.
   */
  append(data: string | Uint8Array): number;

  /** Ends the use of this object; the key itself stays. Closing twice is harmless. */
  close(): void;

  /** Closes the object at the end of a `using` block. */
  [Symbol.dispose](): void;
}

/**
 * The events of a {@linkcode Channel}.
 *
 * @example Usage
 * ```ts
 * import { type ChannelEventMap, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using channel = store.channel("chat");
 * const hear = ({ data }: ChannelEventMap["message"]) => console.log(data);
 * channel.addEventListener("message", hear);
 * ```
 */
export interface ChannelEventMap {
  /** A message; `data` is text, bytes as a `Uint8Array`, or what JSON can say. */
  message: MessageEvent<StoreValue>;
  /** Messages that came so fast that the channel lost them; `data` says how many. */
  messageerror: MessageEvent<{ lost: number }>;
}

/**
 * One end of a channel of messages among the processes that have the store open, in the shape of a `BroadcastChannel`.
 *
 * Whoever has a channel of the same name open, in whichever process and runtime, gets what the others post from then on,
 * of each sender in order. While it is open, the process goes on.
 *
 * @example Usage
 * ```ts
 * import { type Channel, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using here: Channel = store.channel("chat");
 * using there: Channel = store.channel("chat");
 * const heard = new Promise((resolve) => there.onmessage = ({ data }) => resolve(data));
 * here.postMessage({ text: "hello" });
 * console.log(await heard); // { text: "hello" }
 * ```
 */
export interface Channel extends EventTarget, Disposable {
  /** The name. */
  readonly name: string;

  /** What is called with each message. */
  onmessage: ((event: ChannelEventMap["message"]) => void) | null;

  /** What is called when messages were lost. */
  onmessageerror: ((event: ChannelEventMap["messageerror"]) => void) | null;

  /**
   * Sends a message to all others who have the channel open.
   *
   * @param message A string, bytes, or what has a JSON form, which a bigint has not.
   * @throws {DOMException} If the channel is closed: an `InvalidStateError`.
   * @throws {ValueTooLargeError} If the message is larger than the store takes. The store's largest value holds it with
   * 24 bytes more.
   * @throws {InvalidArgumentError} If the message has no stored form.
   * @throws {SplinterError} As {@linkcode Store.set} does.
   */
  postMessage(message: StoreValue): void;

  /** Closes this end. What was posted still arrives elsewhere. Closing twice is harmless. */
  close(): void;

  /**
   * Adds a listener.
   *
   * @param type The type of the events.
   * @param listener What is called with them.
   * @param options As of any event target.
   */
  addEventListener<K extends keyof ChannelEventMap>(
    type: K,
    listener: (event: ChannelEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /**
   * Adds a listener of another kind, as to any event target.
   *
   * @param args The type of the events, the listener and its options.
   */
  addEventListener(...args: Parameters<EventTarget["addEventListener"]>): void;

  /** Closes this end at the end of a `using` block. */
  [Symbol.dispose](): void;
}

/**
 * One slot at one moment. The names are those of the region's format.
 *
 * @example Usage
 * ```ts
 * import { type SlotSnapshot, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * const slot: SlotSnapshot | null = store.getSlotSnapshot("greeting");
 * console.log(slot?.val_len, slot?.epoch); // 5 2n
 * ```
 */
export interface SlotSnapshot {
  /** The hash of the key. */
  hash: bigint;
  /** The epoch of the slot: even, and greater by 2 with every change. */
  epoch: bigint;
  /** Where the value begins, in bytes from the start of the region. */
  val_off: bigint;
  /** How long the value is, in bytes. */
  val_len: number;
  /** The key that was asked for. */
  key: string;
  /** What the value is. */
  type: ValueType;
  /** The labels, one bit each. */
  labels: bigint;
  /** How long the key has yet to live, in milliseconds; `Infinity` is for ever. */
  ttl: number;
  /** Whether the key is never evicted. */
  pinned: boolean;
}

/**
 * The header of a store at one moment. The names are those of the format.
 *
 * @example Usage
 * ```ts
 * import { type BusHeaderSnapshot, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * const header: BusHeaderSnapshot = store.getBusHeaderSnapshot();
 * console.log(header.slots, header.max_val_sz); // 1024 4096
 * ```
 */
export interface BusHeaderSnapshot {
  /** What marks a store as one. */
  magic: number;
  /** The version of the format. */
  version: number;
  /** How many keys fit. */
  slots: number;
  /** The largest value, in bytes. */
  max_val_sz: number;
  /** The epoch of the whole store: it moves with every change of any key. */
  epoch: bigint;
  /** 1 if replaced and deleted values are wiped, otherwise 0. */
  auto_vacuum: number;
  /** What goes when the store is full. */
  eviction: Eviction;
  /** How many times something in the region failed a check. */
  parse_failures: bigint;
  /** The store's epoch when that last happened. */
  last_failure_epoch: bigint;
}
