/**
 * Checks of what callers pass. FFI does not check: one runtime cuts a number to 32 bits where a call is hot, another
 * converts whatever it gets.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { InvalidArgumentError } from "./errors.ts";
import { encodeOptions, Flag } from "./layout.ts";
import type { SplinterOptions, StoreValue } from "./types.ts";

/** What the native library takes for "for ever". */
const FOR_EVER = 0xffff_ffff;

/**
 * Checks a whole number.
 *
 * @param name What the number is, for the message.
 * @param value The number.
 * @param min The smallest that is allowed.
 * @param max The largest that is allowed.
 * @returns The number.
 */
export function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new InvalidArgumentError(`"${name}" must be an integer from ${min} to ${max}, not ${show(value)}`);
  }
  return value;
}

/**
 * Checks a waiting time.
 *
 * @param value Milliseconds; `Infinity` is for ever.
 * @returns Whole milliseconds, rounded up, as the native library takes them.
 */
export function timeout(value: unknown): number {
  if (value === Infinity) return FOR_EVER;
  if (typeof value !== "number" || !(value >= 0 && value < FOR_EVER)) {
    throw new InvalidArgumentError(`"timeoutMs" must be 0 or more milliseconds, not ${show(value)}`);
  }
  return Math.min(Math.ceil(value), FOR_EVER - 1);
}

/**
 * Checks the two ways to say how a store is to be.
 *
 * @param slotsOrOptions The number of slots, or all the options.
 * @param maxValueSize The largest value in bytes, if the slots are a number.
 * @returns The options.
 */
export function optionsOf(
  slotsOrOptions: number | SplinterOptions | undefined,
  maxValueSize: number | undefined,
): SplinterOptions {
  if (typeof slotsOrOptions === "object" && slotsOrOptions !== null) {
    if (maxValueSize !== undefined) {
      throw new InvalidArgumentError(`"maxValueSize" belongs among the options where options are passed`);
    }
    return slotsOrOptions;
  }
  return { slots: slotsOrOptions, maxValueSize };
}

/**
 * Checks options and encodes them for the native library.
 *
 * @param kind The kind of the store.
 * @param options The options.
 * @returns An `spl_options`.
 */
export function nativeOptions(kind: number, options: SplinterOptions): Uint8Array {
  const whole = (name: keyof SplinterOptions, max: number, min = 1) => {
    const value = options[name];
    return value === undefined ? undefined : integer(name, value, min, max);
  };
  const flag = (name: keyof SplinterOptions, when: boolean, bit: number) => {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") {
      throw new InvalidArgumentError(`"${name}" must be true or false, not ${show(value)}`);
    }
    return value === when ? bit : 0;
  };
  const spin = whole("spinUs", 1_000_000, 0);
  return encodeOptions({
    kind,
    slots: whole("slots", 2 ** 26),
    max_key_bytes: whole("maxKeySize", 1024),
    max_value_bytes: whole("maxValueSize", 2 ** 30),
    journal_entries: whole("journal", 2 ** 24),
    mode: whole("mode", 0o777),
    flags: flag("readOnly", true, Flag.readOnly) |
      flag("autoVacuum", false, Flag.throughput) |
      (spin === 0 ? Flag.noSpin : 0),
    lock_timeout_ms: whole("lockTimeoutMs", FOR_EVER),
    spin_us: spin,
  });
}

/**
 * Checks a path and turns a URL into one.
 *
 * @param name What the path is, for the message.
 * @param value The path.
 * @returns The path.
 */
export function path(name: string, value: unknown): string {
  const text = value instanceof URL && value.protocol === "file:" ? fileURLToPath(value) : value;
  if (typeof text !== "string" || text === "" || text.includes("\0") || !text.isWellFormed()) {
    throw new InvalidArgumentError(`"${name}" must be a non-empty path or a file: URL, not ${show(value)}`);
  }
  return text;
}

/**
 * Finds the stored form of a value.
 *
 * @param value The value.
 * @returns Its bytes, or the text whose UTF-8 form is stored.
 */
export function serialize(value: StoreValue): string | Uint8Array {
  if (typeof value === "string") return value;
  const bytes = bytesOf(value);
  if (bytes !== null) {
    if (bytes.length === 0 && isDetached(bytes.buffer)) {
      throw new InvalidArgumentError("Value is a view of a buffer that was transferred");
    }
    return bytes;
  }
  return json(value);
}

function bytesOf(value: StoreValue): Uint8Array | null {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) {
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) {
    return new Uint8Array(value);
  }
  return null;
}

function isDetached(buffer: ArrayBufferLike): boolean {
  return buffer instanceof ArrayBuffer && buffer.detached;
}

function json(value: unknown): string {
  let text: string | undefined;
  let cause: unknown;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    cause = error;
  }
  if (text === undefined || isLost(value, text)) {
    throw new InvalidArgumentError(`Value must be a string, bytes or have a JSON form, not ${show(value)}`, { cause });
  }
  return text;
}

/** Whether the JSON form says nothing of what the value was. */
function isLost(value: unknown, text: string): boolean {
  if (typeof value === "number") return !Number.isFinite(value);
  // A Map, a Set or a Promise that nobody awaited.
  return text === "{}" && typeof value === "object" && value !== null &&
    Object.getPrototypeOf(value) !== Object.prototype &&
    Object.getPrototypeOf(value) !== null;
}

/** Names a value in a message, briefly. */
function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 64 ? `${value.slice(0, 64)}…` : value);
    case "number":
    case "boolean":
    case "undefined":
      return String(value);
    case "object":
      if (value === null) return "null";
      return `an object of class ${value.constructor?.name ?? "Object"}`;
    default:
      return `a ${typeof value}`;
  }
}
