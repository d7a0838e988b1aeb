/**
 * The errors of a store: one class for each thing that can go wrong.
 *
 * A key that is not there is no error: reading it gives `null`.
 *
 * @module
 */

/**
 * The number of every error code, the same in Rust, in C (negated) and here. Zero marks what goes wrong before there is
 * a native library to speak to.
 */
export const ERROR_NUMBERS = {
  LIBRARY_NOT_FOUND: 0,
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

/** The name of an error, stable across releases and languages. */
export type ErrorCode = keyof typeof ERROR_NUMBERS;

/** What an error may carry besides its message. */
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

/** The file holds something other than a store. */
export class NotAStoreError extends SplinterError {
  /** Always `"NOT_A_STORE"`. */
  readonly code = "NOT_A_STORE";
}

/** The store has another format version, or another geometry than asked for. */
export class IncompatibleError extends SplinterError {
  /** Always `"INCOMPATIBLE"`. */
  readonly code = "INCOMPATIBLE";
}

/** The store contradicts itself. */
export class CorruptError extends SplinterError {
  /** Always `"CORRUPT"`. */
  readonly code = "CORRUPT";
}

/** A store was to be created where something exists already. */
export class ExistsError extends SplinterError {
  /** Always `"EXISTS"`. */
  readonly code = "EXISTS";
}

/** A store was to be opened that does not exist. */
export class NoStoreError extends SplinterError {
  /** Always `"NO_STORE"`. */
  readonly code = "NO_STORE";
}

/** The operating system, the runtime or a read-only open forbids it. */
export class PermissionError extends SplinterError {
  /** Always `"PERMISSION"`. */
  readonly code = "PERMISSION";
}

/** A new key was set in a store whose slots all hold keys. */
export class FullError extends SplinterError {
  /** Always `"FULL"`. */
  readonly code = "FULL";
}

/** The key is longer than the store's longest. */
export class KeyTooLongError extends SplinterError {
  /** Always `"KEY_TOO_LONG"`. */
  readonly code = "KEY_TOO_LONG";
}

/** The key is empty, contains NUL, or has no UTF-8 form. */
export class KeyInvalidError extends SplinterError {
  /** Always `"KEY_INVALID"`. */
  readonly code = "KEY_INVALID";
}

/** The value is larger than the store's largest. */
export class ValueTooLargeError extends SplinterError {
  /** Always `"VALUE_TOO_LARGE"`. */
  readonly code = "VALUE_TOO_LARGE";
}

/** Another writer has the key, and the call does not wait (any longer). */
export class BusyError extends SplinterError {
  /** Always `"BUSY"`. */
  readonly code = "BUSY";
}

/** Something did not happen in time. */
export class TimeoutError extends SplinterError {
  /** Always `"TIMEOUT"`. */
  readonly code = "TIMEOUT";
}

/** The store object has been closed. */
export class ClosedError extends SplinterError {
  /** Always `"CLOSED"`. */
  readonly code = "CLOSED";
}

/** An argument is of the wrong type or out of range. */
export class InvalidArgumentError extends SplinterError {
  /** Always `"INVALID_ARGUMENT"`. */
  readonly code = "INVALID_ARGUMENT";
}

/** The value is there, but is not what the call asks for. */
export class WrongTypeError extends SplinterError {
  /** Always `"WRONG_TYPE"`. */
  readonly code = "WRONG_TYPE";
}

/** The condition of a conditional write did not hold. */
export class ConditionNotMetError extends SplinterError {
  /** Always `"CONDITION_NOT_MET"`. */
  readonly code = "CONDITION_NOT_MET";
}

/** A follower of the changes was overtaken by them. */
export class FellBehindError extends SplinterError {
  /** Always `"FELL_BEHIND"`. */
  readonly code = "FELL_BEHIND";
}

/** The disk, the quota or the shared memory is used up. */
export class NoSpaceError extends SplinterError {
  /** Always `"NO_SPACE"`. */
  readonly code = "NO_SPACE";
}

/** The operating system failed in another way; `errno` says how. */
export class IoError extends SplinterError {
  /** Always `"IO"`. */
  readonly code = "IO";
}

/** The library failed where it should not; this is worth a bug report. */
export class InternalError extends SplinterError {
  /** Always `"INTERNAL"`. */
  readonly code = "INTERNAL";
}

/** A number would become larger or smaller than 64 bits can say, in an operation that was asked to look at that. */
export class OverflowError extends SplinterError {
  /** Always `"OVERFLOW"`. */
  readonly code = "OVERFLOW";
}

/** A place where the native library was looked for, in vain. */
export interface LibraryAttempt {
  /** Where: a path, a package or a variable. */
  readonly place: string;
  /** Why nothing came of it. */
  readonly reason: string;
}

/** No usable native library was found. The message lists all that was tried. */
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
