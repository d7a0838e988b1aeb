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
 */
export type StoreValue = string | number | bigint | boolean | null | object;

/**
 * What a value is. A string that is set is `"text"`, a bigint `"biguint"` or, below 0, `"bigint"`, what has a JSON form
 * `"json"`; bytes leave a key the type that it has. A key of which nothing was said is `"void"`.
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
 */
export type Eviction = "none" | "ttl" | "lru";

/**
 * What a power cut may take of what was written. The death of a process takes nothing, whatever this is.
 *
 * - `"none"`: what was written since the last {@linkcode Store.sync}.
 * - `{ intervalMs }`: what was written in so many milliseconds and the time of a sync. A thread of the native library syncs
 *   again and again, for all who write to the store, and once more when this store object is closed.
 * - `"commit"`: nothing that a write of this store object has returned from. Each waits for the disk.
 */
export type Durability = "none" | "commit" | {
  /** How often the store is synced, in milliseconds, from 1 on. While nothing changes nothing is written. */
  intervalMs: number;
};

/** What was done to a store that was opened after a restart of the machine: see {@linkcode Store.recovery}. */
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
 */
export type Labels = string | number | bigint | readonly (string | number | bigint)[];

/** How the library is found; part of all options. */
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

/** How an anonymous store is made. All of it is optional. */
export interface AnonymousOptions extends LibraryOptions {
  /** How many keys fit, 1 to 2^26. 1024 if not said. */
  slots?: number;
  /** The largest value in bytes, 1 to 2^30. 4096 if not said. */
  maxValueSize?: number;
  /** The longest key in bytes, 1 to 1024. 64 if not said. */
  maxKeySize?: number;
  /**
   * How many of the last changes the store remembers, 64 to 2^24, rounded up to a power of two. Four for each slot if
   * not said.
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
 */
export interface SplinterOptions extends AnonymousOptions {
  /** Whether the name is one of shared memory rather than a path of a file. */
  memory?: boolean;
  /** Whether the store is only read. Needs no more than read permission. */
  readOnly?: boolean;
  /** The permission bits of a new store, such as `0o640`. `0o600` if not said. */
  mode?: number;
  /**
   * What a power cut may take of what is written by this store object. `"none"` if not said. Without effect on shared memory,
   * of which a power cut leaves nothing; only `"none"` goes with `readOnly`.
   *
   * A sync that fails is told by the write that waited for it, or by {@linkcode Store.close} if none did, and stays to be seen
   * in {@linkcode Store.syncFailure}.
   */
  durability?: Durability;
}

/** How a store is removed. */
export interface RemoveOptions extends LibraryOptions {
  /** Whether the name is one of shared memory rather than a path of a file. */
  memory?: boolean;
}

/** Which keys are asked for. */
export interface KeysOptions {
  /** Only keys that begin with this. */
  prefix?: string;
  /** Only keys that have all of these labels. */
  labels?: Labels;
}

/** A key, and what belongs to its value. */
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

/** A value, and what belongs to the same version of it. */
export interface Entry {
  /** The bytes; those of the receiver, though they may share their `ArrayBuffer` with other values. */
  value: Uint8Array<ArrayBuffer>;
  /** The epoch: for {@linkcode EpochCondition.ifEpoch}. */
  epoch: bigint;
  /** What the value is. */
  type: ValueType;
}

/** What a write says besides the value. */
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

/** A write that happens only if the key is as it was when its epoch was read. */
export interface EpochCondition {
  /**
   * The epoch that the key must have, such as that of {@linkcode Store.getEntry} or {@linkcode Store.epoch}; `null` is that
   * there must be no such key.
   */
  ifEpoch: bigint | null;
}

/** What must be so for a write to happen: one of the three. */
export type WriteCondition = EpochCondition | {
  /** Whether there must be no such key. */
  ifAbsent: boolean;
} | {
  /** Whether there must be such a key. */
  ifPresent: boolean;
};

/** What became of a write on a condition: `ok` tells whether it happened. */
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

/** How a number is changed. */
export interface NumberOptions {
  /** Whether the numbers are from -2^63 to 2^63-1 rather than from 0 to 2^64-1. `false` if not said. */
  signed?: boolean;
}

/** How a number is added to or subtracted from. */
export interface SumOptions extends NumberOptions {
  /** Whether a result that does not fit is an `OverflowError`. If not said, it begins anew at the other end. */
  checked?: boolean;
}

/** Which labels a key gets and loses. */
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
 */
export type WatchPattern = string | readonly string[] | { readonly prefix: string };

/** How a reader of changes is started and ended. */
export interface ChangesOptions {
  /** Ends it. */
  signal?: AbortSignal;
  /** The `seq` of the first change that is wanted. If not said, what changes from now on. */
  from?: bigint;
}

/** How keys are watched. */
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

/** The newest state of a key that has changed. */
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

/** A change of a key, or, after changes were lost, the state of a key. */
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

/** A change of a key that has been deleted since, and whose name the store has wiped. */
export interface VanishedChange {
  /** Always `"vanished"`. */
  kind: "vanished";
  /** The place among all changes of the store. */
  seq: bigint;
}

/** Changes that the store had forgotten before they were read. The keys that exist follow, as `"current"`. */
export interface LostChanges {
  /** Always `"lost"`. */
  kind: "lost";
  /** The place of the first of them among all changes of the store. */
  seq: bigint;
  /** How many they are. */
  count: bigint;
}

/** What a reader of all changes is told. */
export type Change = KeyChange | VanishedChange | LostChanges;

/**
 * What is told of a store, one item at a time and without end.
 *
 * It ends at once when it is returned from (as by `break`), disposed of, aborted or the store is closed: a `next()` that
 * waits is done then, and so is every later one. While it lives, so does the process.
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

/** Ends a subscription. Calling it twice is harmless; `using` calls it too. */
export interface Unsubscribe extends Disposable {
  /** Ends the subscription: its callback is not called any more. */
  (): void;
}

/** How a change is awaited. */
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

/** The events of a {@linkcode Channel}. */
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

/** One slot at one moment. The names are those of the region's format. */
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

/** The header of a store at one moment. The names are those of the format. */
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
