/**
 * The errors of a store: one class for each thing that can go wrong.
 *
 * A key that is not there is no error: reading it gives `null`.
 *
 * @module
 */

/**
 * The number of every error code, the same in Rust, in C (negated) and here. Zero marks what goes wrong where there is
 * no native library to speak to.
 *
 * @example Usage
 * ```ts
 * import { ERROR_NUMBERS } from "@splinter/ffi";
 *
 * console.log(ERROR_NUMBERS.FULL); // 8; in C SPL_FULL is -8, in Rust ErrorCode::Full is 8
 * ```
 */
export const ERROR_NUMBERS = {
  LIBRARY_NOT_FOUND: 0,
  UNSUPPORTED: 0,
  NOT_A_STORE: 2,
  INCOMPATIBLE: 3,
  CORRUPT: 4,
  EXISTS: 5,
  NO_STORE: 6,
  PERMISSION: 7,
  FULL: 8,
  KEY_TOO_LONG: 9,
  KEY_INVALID: 10,
  VALUE_TOO_LARGE: 11,
  BUSY: 12,
  TIMEOUT: 13,
  CLOSED: 14,
  INVALID_ARGUMENT: 15,
  WRONG_TYPE: 16,
  CONDITION_NOT_MET: 17,
  FELL_BEHIND: 18,
  NO_SPACE: 19,
  IO: 20,
  INTERNAL: 21,
  OVERFLOW: 22,
} as const;

/**
 * The name of an error, stable across releases and languages.
 *
 * @example Usage
 * ```ts
 * import { type ErrorCode } from "@splinter/ffi";
 *
 * const RETRIED: readonly ErrorCode[] = ["BUSY", "TIMEOUT"];
 * console.log(RETRIED.includes("FULL")); // false
 * ```
 */
export type ErrorCode = keyof typeof ERROR_NUMBERS;

/**
 * What an error may carry besides its message.
 *
 * @example Usage
 * ```ts
 * import { IoError, type SplinterErrorOptions } from "@splinter/ffi";
 *
 * const options: SplinterErrorOptions = { errno: 5, cause: new Error("The disk failed") };
 * console.log(new IoError("Cannot sync", options).errno); // 5
 * ```
 */
export interface SplinterErrorOptions extends ErrorOptions {
  /** The error number of the operating system that caused it. */
  errno?: number;
  /** How many entries of a batch were stored before it happened. */
  stored?: number;
}

/**
 * The class of every error that a store throws.
 *
 * @example Telling errors apart
 * ```ts
 * import { Splinter, SplinterError } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous({ maxValueSize: 8 });
 * try {
 *   store.set("greeting", "much too long");
 * } catch (error) {
 *   if (!(error instanceof SplinterError)) throw error;
 *   console.log(error.code, error.number); // VALUE_TOO_LARGE 11
 * }
 * ```
 */
export abstract class SplinterError extends Error {
  /** What went wrong, as a word. */
  abstract readonly code: ErrorCode;

  /** The error number of the operating system, where it caused this. */
  declare readonly errno?: number;

  /** How many entries of {@linkcode Store.setMany} were stored before this happened, where that is what failed. */
  declare readonly stored?: number;

  /**
   * Creates an error.
   *
   * @param message What happened, to which key or file.
   * @param options The cause and the system's error number, where known.
   */
  constructor(message: string, options?: SplinterErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    if (options?.errno !== undefined) this.errno = options.errno;
    if (options?.stored !== undefined) this.stored = options.stored;
  }

  /** What went wrong, as the number that Rust and C use too. */
  get number(): number {
    return ERROR_NUMBERS[this.code];
  }
}

/**
 * The file holds something other than a store.
 *
 * @example Usage
 * ```ts
 * import { NotAStoreError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.open("/etc/passwd");
 * } catch (error) {
 *   console.log(error instanceof NotAStoreError); // true
 * }
 * ```
 */
export class NotAStoreError extends SplinterError {
  /** Always `"NOT_A_STORE"`. */
  readonly code = "NOT_A_STORE";
}

/**
 * The store has another format version, or another geometry than asked for.
 *
 * @example Usage
 * ```ts
 * import { IncompatibleError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous({ slots: 16 });
 * try {
 *   Splinter.open(store.path, { slots: 32 });
 * } catch (error) {
 *   console.log(error instanceof IncompatibleError); // true
 * }
 * ```
 */
export class IncompatibleError extends SplinterError {
  /** Always `"INCOMPATIBLE"`. */
  readonly code = "INCOMPATIBLE";
}

/**
 * The store contradicts itself.
 *
 * @example Usage
 * ```ts
 * import { CorruptError, Splinter } from "@splinter/ffi";
 *
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * Splinter.create(path).close();
 * Deno.truncateSync(path, 4096);
 * try {
 *   Splinter.open(path);
 * } catch (error) {
 *   console.log(error instanceof CorruptError); // true
 * }
 * Deno.removeSync(path);
 * ```
 */
export class CorruptError extends SplinterError {
  /** Always `"CORRUPT"`. */
  readonly code = "CORRUPT";
}

/**
 * A store was to be created where something exists already.
 *
 * @example Usage
 * ```ts
 * import { ExistsError, Splinter } from "@splinter/ffi";
 *
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * Splinter.create(path).close();
 * try {
 *   Splinter.create(path);
 * } catch (error) {
 *   console.log(error instanceof ExistsError); // true
 * }
 * Splinter.remove(path);
 * ```
 */
export class ExistsError extends SplinterError {
  /** Always `"EXISTS"`. */
  readonly code = "EXISTS";
}

/**
 * A store was to be opened that does not exist.
 *
 * @example Usage
 * ```ts
 * import { NoStoreError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.open(`/tmp/${crypto.randomUUID()}.splinter`);
 * } catch (error) {
 *   console.log(error instanceof NoStoreError); // true
 * }
 * ```
 */
export class NoStoreError extends SplinterError {
  /** Always `"NO_STORE"`. */
  readonly code = "NO_STORE";
}

/**
 * The operating system, the runtime or a read-only open forbids it.
 *
 * @example Usage
 * ```ts
 * import { PermissionError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * using reader = Splinter.open(store.path, { readOnly: true });
 * try {
 *   reader.set("greeting", "hello");
 * } catch (error) {
 *   console.log(error instanceof PermissionError); // true
 * }
 * ```
 */
export class PermissionError extends SplinterError {
  /** Always `"PERMISSION"`. */
  readonly code = "PERMISSION";
}

/**
 * A new key was set in a store whose slots all hold keys.
 *
 * @example Usage
 * ```ts
 * import { FullError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous({ slots: 1 });
 * store.set("first", 1);
 * try {
 *   store.set("second", 2);
 * } catch (error) {
 *   console.log(error instanceof FullError); // true
 * }
 * ```
 */
export class FullError extends SplinterError {
  /** Always `"FULL"`. */
  readonly code = "FULL";
}

/**
 * The key is longer than the store's longest.
 *
 * @example Usage
 * ```ts
 * import { KeyTooLongError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous({ maxKeySize: 4 });
 * try {
 *   store.set("abcde", 1);
 * } catch (error) {
 *   console.log(error instanceof KeyTooLongError); // true
 * }
 * ```
 */
export class KeyTooLongError extends SplinterError {
  /** Always `"KEY_TOO_LONG"`. */
  readonly code = "KEY_TOO_LONG";
}

/**
 * The key is empty, contains NUL, or has no UTF-8 form.
 *
 * @example Usage
 * ```ts
 * import { KeyInvalidError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * try {
 *   store.set("", 1);
 * } catch (error) {
 *   console.log(error instanceof KeyInvalidError); // true
 * }
 * ```
 */
export class KeyInvalidError extends SplinterError {
  /** Always `"KEY_INVALID"`. */
  readonly code = "KEY_INVALID";
}

/**
 * The value is larger than the store's largest.
 *
 * @example Usage
 * ```ts
 * import { Splinter, ValueTooLargeError } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous({ maxValueSize: 4 });
 * try {
 *   store.set("greeting", "hello");
 * } catch (error) {
 *   console.log(error instanceof ValueTooLargeError); // true
 * }
 * ```
 */
export class ValueTooLargeError extends SplinterError {
  /** Always `"VALUE_TOO_LARGE"`. */
  readonly code = "VALUE_TOO_LARGE";
}

/**
 * Another writer has the key, and the call does not wait (any longer).
 *
 * @example Usage
 * ```ts
 * import { BusyError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * try {
 *   store.set("greeting", "hello");
 * } catch (error) {
 *   if (!(error instanceof BusyError)) throw error;
 *   console.log("Another process has been writing this key for a second, or is stopped in the middle of it");
 * }
 * ```
 */
export class BusyError extends SplinterError {
  /** Always `"BUSY"`. */
  readonly code = "BUSY";
}

/**
 * Something did not happen in time.
 *
 * @example Usage
 * ```ts
 * import { TimeoutError } from "@splinter/ffi";
 *
 * const isLate = (error: unknown) => error instanceof TimeoutError && error.code === "TIMEOUT";
 * console.log(isLate(new Error("Something else"))); // false
 * ```
 */
export class TimeoutError extends SplinterError {
  /** Always `"TIMEOUT"`. */
  readonly code = "TIMEOUT";
}

/**
 * The store object has been closed.
 *
 * @example Usage
 * ```ts
 * import { ClosedError, Splinter } from "@splinter/ffi";
 *
 * const store = Splinter.anonymous();
 * store.close();
 * try {
 *   store.get("greeting");
 * } catch (error) {
 *   console.log(error instanceof ClosedError); // true
 * }
 * ```
 */
export class ClosedError extends SplinterError {
  /** Always `"CLOSED"`. */
  readonly code = "CLOSED";
}

/**
 * An argument is of the wrong type or out of range.
 *
 * @example Usage
 * ```ts
 * import { InvalidArgumentError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.anonymous({ slots: 0 });
 * } catch (error) {
 *   console.log(error instanceof InvalidArgumentError); // true
 * }
 * ```
 */
export class InvalidArgumentError extends SplinterError {
  /** Always `"INVALID_ARGUMENT"`. */
  readonly code = "INVALID_ARGUMENT";
}

/**
 * The value is there, but is not what the call asks for.
 *
 * @example Usage
 * ```ts
 * import { Splinter, WrongTypeError } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("greeting", "hello");
 * try {
 *   store.add("greeting", 1);
 * } catch (error) {
 *   console.log(error instanceof WrongTypeError); // true
 * }
 * ```
 */
export class WrongTypeError extends SplinterError {
  /** Always `"WRONG_TYPE"`. */
  readonly code = "WRONG_TYPE";
}

/**
 * The condition of a conditional write did not hold.
 *
 * @example Usage
 * ```ts
 * import { ConditionNotMetError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * // Conditions are told as results. The error has the code that C and Rust have for them.
 * console.log(store.set("lock", "me", { ifPresent: true })); // { ok: false, epoch: null }
 * console.log(new ConditionNotMetError("Not so").number); // 17
 * ```
 */
export class ConditionNotMetError extends SplinterError {
  /** Always `"CONDITION_NOT_MET"`. */
  readonly code = "CONDITION_NOT_MET";
}

/**
 * A follower of the changes was overtaken by them.
 *
 * @example Usage
 * ```ts
 * import { FellBehindError } from "@splinter/ffi";
 *
 * // The readers of TypeScript are told in their stream: see LostChanges. The error has the code that C and Rust have for it.
 * console.log(new FellBehindError("Too slow").number); // 18
 * ```
 */
export class FellBehindError extends SplinterError {
  /** Always `"FELL_BEHIND"`. */
  readonly code = "FELL_BEHIND";
}

/**
 * The disk, the quota or the shared memory is used up.
 *
 * @example Usage
 * ```ts
 * import { NoSpaceError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * try {
 *   store.set("greeting", "hello");
 * } catch (error) {
 *   if (!(error instanceof NoSpaceError)) throw error;
 *   console.log("There is no room for another key. Those that exist can be written still");
 * }
 * ```
 */
export class NoSpaceError extends SplinterError {
  /** Always `"NO_SPACE"`. */
  readonly code = "NO_SPACE";
}

/**
 * The operating system failed in another way; `errno` says how.
 *
 * @example Usage
 * ```ts
 * import { IoError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.create("/no/such/directory/app.splinter");
 * } catch (error) {
 *   console.log(error instanceof IoError && error.errno); // 2, which is ENOENT
 * }
 * ```
 */
export class IoError extends SplinterError {
  /** Always `"IO"`. */
  readonly code = "IO";
}

/**
 * The library failed where it should not; this is worth a bug report.
 *
 * @example Usage
 * ```ts
 * import { InternalError } from "@splinter/ffi";
 *
 * const isBug = (error: unknown) => error instanceof InternalError;
 * console.log(isBug(new Error("Mine"))); // false
 * ```
 */
export class InternalError extends SplinterError {
  /** Always `"INTERNAL"`. */
  readonly code = "INTERNAL";
}

/**
 * A number would become larger or smaller than 64 bits can say, in an operation that was asked to look at that.
 *
 * @example Usage
 * ```ts
 * import { OverflowError, Splinter } from "@splinter/ffi";
 *
 * using store = Splinter.anonymous();
 * store.set("stock", 0n);
 * try {
 *   store.sub("stock", 1, { checked: true });
 * } catch (error) {
 *   console.log(error instanceof OverflowError); // true
 * }
 * ```
 */
export class OverflowError extends SplinterError {
  /** Always `"OVERFLOW"`. */
  readonly code = "OVERFLOW";
}

/**
 * The engine that was asked for cannot do it here: see {@linkcode SplinterOptions.engine}.
 *
 * @example Watching takes the native engine
 * ```ts
 * import { Splinter, UnsupportedError } from "@splinter/ffi";
 *
 * const path = `/tmp/${crypto.randomUUID()}.splinter`;
 * Splinter.create(path).close();
 * using store = Splinter.open(path, { engine: "file", readOnly: true });
 * try {
 *   store.watch("greeting");
 * } catch (error) {
 *   console.log(error instanceof UnsupportedError); // true
 * }
 * Splinter.remove(path);
 * ```
 */
export class UnsupportedError extends SplinterError {
  /** Always `"UNSUPPORTED"`. */
  readonly code = "UNSUPPORTED";
}

/**
 * A place where the native library was looked for, in vain.
 *
 * @example Usage
 * ```ts
 * import { type LibraryAttempt, LibraryError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.anonymous({ libPath: "/no/such/library.so" });
 * } catch (error) {
 *   const tried: readonly LibraryAttempt[] = error instanceof LibraryError ? error.tried : [];
 *   console.log(tried.map(({ place }) => place)); // [ "/no/such/library.so" ]
 * }
 * ```
 */
export interface LibraryAttempt {
  /** Where: a path, a package or a variable. */
  readonly place: string;
  /** Why nothing came of it. */
  readonly reason: string;
}

/**
 * No usable native library was found. The message lists all that was tried.
 *
 * @example Usage
 * ```ts
 * import { LibraryError, Splinter } from "@splinter/ffi";
 *
 * try {
 *   Splinter.anonymous({ libPath: "/no/such/library.so" });
 * } catch (error) {
 *   console.log(error instanceof LibraryError); // true
 * }
 * ```
 */
export class LibraryError extends SplinterError {
  /** Always `"LIBRARY_NOT_FOUND"`. */
  readonly code = "LIBRARY_NOT_FOUND";

  /** All that was tried, in order. */
  readonly tried: readonly LibraryAttempt[];

  /**
   * Creates an error.
   *
   * @param message What was looked for, and where.
   * @param tried All that was tried, in order.
   * @param options The cause, where there is one.
   */
  constructor(message: string, tried: readonly LibraryAttempt[], options?: SplinterErrorOptions) {
    super(message, options);
    this.tried = tried;
  }
}
