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
 */
export type StoreValue = string | number | boolean | null | object;

/** How the library is found; part of all options. */
export interface LibraryOptions {
  /** The path of the native library, or its `file:` URL, instead of a search. */
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
}

/** The newest state of a key that has changed. */
export interface WatchEvent {
  /** The key. */
  key: string;
  /** The key's epoch: greater by 2 than that of the event before it, or by more if changes were folded into this one. */
  epoch: bigint;
  /** The place of the change, or of the first of the changes, among all changes of the store. */
  seq: bigint;
  /** Whether the key was set or deleted. */
  kind: "set" | "unset";
  /**
   * The value, or `null` if the key was deleted or the watch goes without values. The bytes are those of the receiver,
   * but may share their `ArrayBuffer` with other values.
   */
  value: Uint8Array<ArrayBuffer> | null;
}

/** A change of a key, or, after changes were lost, the state of a key. */
export interface KeyChange {
  /** What happened to the key; `"current"` is that it exists after changes were lost. */
  kind: "set" | "unset" | "expired" | "current";
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
   * @param message A string, bytes, or what has a JSON form.
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
  /** How many times something in the region failed a check. */
  parse_failures: bigint;
  /** The store's epoch when that last happened. */
  last_failure_epoch: bigint;
}
