/**
 * Turns what the native library says into errors.
 *
 * @module
 */
import * as errors from "./errors.ts";
import { ERROR_NUMBERS, type SplinterError, type SplinterErrorOptions } from "./errors.ts";
import { ERROR, HEADER } from "./layout.ts";
import { decode, encode } from "./scratch.ts";

/** A longer key than this is cut in a message. */
const SHOWN_LENGTH = 64;

/** The classes of the numbers from 2 on. */
const NATIVE_ERRORS: ReadonlyArray<new (message: string, options?: SplinterErrorOptions) => SplinterError> = [
  errors.NotAStoreError,
  errors.IncompatibleError,
  errors.CorruptError,
  errors.ExistsError,
  errors.NoStoreError,
  errors.PermissionError,
  errors.FullError,
  errors.KeyTooLongError,
  errors.KeyInvalidError,
  errors.ValueTooLargeError,
  errors.BusyError,
  errors.TimeoutError,
  errors.ClosedError,
  errors.InvalidArgumentError,
  errors.WrongTypeError,
  errors.ConditionNotMetError,
  errors.FellBehindError,
  errors.NoSpaceError,
  errors.IoError,
  errors.InternalError,
  errors.OverflowError,
];

/**
 * Makes the error that belongs to a negative result of the native library.
 *
 * @param result The result: minus the number of the error.
 * @param message What happened.
 * @param errno The error number of the operating system, or 0.
 * @param stored How many entries of a batch were stored, if it was one.
 * @returns An error of the class for that number.
 */
export function errorFromResult(result: number, message: string, errno = 0, stored?: number): SplinterError {
  // A newer library may know more.
  const Class = NATIVE_ERRORS[-result - ERROR_NUMBERS.NOT_A_STORE] ?? errors.InternalError;
  return new Class(message, { errno: errno === 0 ? undefined : errno, stored });
}

/**
 * Makes the error that an `spl_error` describes.
 *
 * @param bytes The struct, filled in by a call that failed.
 * @param task What could not be done, such as `open "a"`.
 * @returns The error.
 */
export function explained(bytes: Uint8Array, task: string): SplinterError {
  const view = new DataView(bytes.buffer);
  const message = bytes.subarray(ERROR.message);
  const text = decode(message.subarray(0, message.indexOf(0)));
  return errorFromResult(
    view.getInt32(ERROR.code, true),
    `Cannot ${task}: ${text}`,
    view.getInt32(ERROR.os_errno, true),
  );
}

/** What the failed call was about. */
export interface Subject {
  /** The key, if it was about one. */
  key?: string;
  /** The size of the value in bytes, if it was about one. */
  size?: number;
  /** How many entries of a batch were stored before, if it was one. */
  stored?: number;
}

/**
 * Makes the error for a call that failed.
 *
 * @param result What the call returned.
 * @param header The `spl_header_snapshot` of the store.
 * @param subject What the call was about.
 * @returns The error.
 */
export function failure(result: number, header: DataView, subject: Subject): SplinterError {
  const { stored } = subject;
  const message = explain(-result, header, subject);
  return errorFromResult(result, stored === undefined ? message : `${message}, after ${stored} were stored`, 0, stored);
}

function explain(number: number, header: DataView, { key, size = 0 }: Subject): string {
  const shown = quote(key ?? "");
  const about = key === undefined ? "" : ` (key ${shown})`;
  const limit = (offset: number) => header.getUint32(offset, true);
  switch (number) {
    case ERROR_NUMBERS.CORRUPT:
      return `The store contradicts itself${about}`;
    case ERROR_NUMBERS.PERMISSION:
      return `The store was opened read-only and cannot be changed${about}`;
    case ERROR_NUMBERS.FULL:
      return `Cannot add key ${shown}: all ${limit(HEADER.slots)} slots of the store are in use`;
    case ERROR_NUMBERS.KEY_TOO_LONG:
      return `Key ${shown} is ${encode(key ?? "").length} bytes long, ` +
        `the store takes at most ${limit(HEADER.max_key_bytes)}`;
    case ERROR_NUMBERS.KEY_INVALID:
      return `Key ${shown} is not valid: a key is one byte or more of UTF-8 without NUL`;
    case ERROR_NUMBERS.VALUE_TOO_LARGE:
      return `Value of ${size} bytes for key ${shown} is too large, ` +
        `the store takes at most ${limit(HEADER.max_value_bytes)}`;
    case ERROR_NUMBERS.WRONG_TYPE:
      return `Value of key ${shown} is not a number of 64 bits`;
    case ERROR_NUMBERS.OVERFLOW:
      return `The number of key ${shown} would not fit 64 bits`;
    case ERROR_NUMBERS.BUSY:
      return `Another writer is at work${about}`;
    case ERROR_NUMBERS.CLOSED:
      return "The store is closed";
    case ERROR_NUMBERS.IO:
      return `The disk fails${about}`;
    case ERROR_NUMBERS.NO_SPACE:
      return `No space is left for the store${about}`;
    default:
      return `The native library failed with ${-number}${about}`;
  }
}

/**
 * Quotes a key for a message.
 *
 * @param key The key.
 * @returns The key in quotes, cut if it is long.
 */
export function quote(key: string): string {
  return JSON.stringify(key.length > SHOWN_LENGTH ? `${key.slice(0, SHOWN_LENGTH)}…` : key);
}
