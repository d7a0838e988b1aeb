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
