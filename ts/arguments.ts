/**
 * Checks of what callers pass. FFI does not check: one runtime cuts a number to 32 bits where a call is hot, another
 * converts whatever it gets.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { InvalidArgumentError, KeyInvalidError } from "./errors.ts";
import { quote } from "./failures.ts";
import { encodeOptions, Flag, PatternKind, WatchFlag } from "./layout.ts";
import { encode } from "./scratch.ts";
import type { SplinterOptions, StoreValue, WatchOptions } from "./types.ts";

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
  const flag = (name: keyof SplinterOptions, when: boolean, bit: number) =>
    truth(name, options[name]) === when ? bit : 0;
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
    poll_interval_ms: whole("pollIntervalMs", FOR_EVER),
  });
}

/** A pattern as the native library takes it. */
export interface Pattern {
  /** One of {@linkcode PatternKind}. */
  readonly kind: number;
  /** The pattern in UTF-8. */
  readonly bytes: Uint8Array;
  /** The key, if there can be but one. */
  readonly key?: string;
  /** What a message calls it. */
  readonly shown: string;
}

/**
 * Checks a pattern of keys.
 *
 * @param value The pattern.
 * @returns The pattern, encoded.
 */
export function pattern(value: unknown): Pattern {
  if (typeof value === "string") {
    if (!/[*?]/.test(value)) return onlyKey(value);
    return { kind: PatternKind.glob, bytes: utf8(value), shown: `keys like ${quote(value)}` };
  }
  if (Array.isArray(value)) {
    if (value.length === 0 || !value.every((key) => typeof key === "string")) {
      throw new InvalidArgumentError(`"pattern" must have keys, which are strings, and one at least`);
    }
    // It separates them.
    const bad = value.find((key) => key.includes("\0"));
    if (bad !== undefined) throw new KeyInvalidError(`Key ${quote(bad)} is not valid: it contains NUL`);
    return { kind: PatternKind.keys, bytes: utf8(value.join("\0")), shown: `${value.length} keys` };
  }
  const prefix = (value as { prefix?: unknown } | null | undefined)?.prefix;
  if (typeof prefix !== "string") {
    throw new InvalidArgumentError(`"pattern" must be a string, an array of keys or a prefix, not ${show(value)}`);
  }
  return { kind: PatternKind.prefix, bytes: utf8(prefix), shown: `keys that begin with ${quote(prefix)}` };
}

/**
 * Makes the pattern of one key.
 *
 * @param key The key.
 * @returns The pattern, encoded.
 */
export function onlyKey(key: unknown): Pattern {
  if (typeof key !== "string") throw new InvalidArgumentError(`Key must be a string, not ${typeof key}`);
  return { kind: PatternKind.key, bytes: utf8(key), key, shown: `key ${quote(key)}` };
}

function utf8(text: string): Uint8Array {
  if (!text.isWellFormed()) {
    throw new KeyInvalidError(`Pattern ${quote(text)} has a lone surrogate, which has no UTF-8 form`);
  }
  return encode(text);
}

/** How a watch is started and ended. */
export interface Start {
  /** Bits of {@linkcode WatchFlag}. */
  readonly flags: number;
  /** Where it starts, if the flags say that it matters. */
  readonly from: bigint;
  /** What ends it. */
  readonly signal?: AbortSignal;
}

/**
 * Checks how a watch is to be started.
 *
 * @param options The options.
 * @returns How the native library starts it.
 */
export function start(options: WatchOptions): Start {
  const { initial, from, values } = options;
  if (from !== undefined && (typeof from !== "bigint" || BigInt.asUintN(64, from) !== from)) {
    throw new InvalidArgumentError(`"from" must be a bigint of 0 or more that fits 64 bits, not ${show(from)}`);
  }
  const flags = (from === undefined ? 0 : WatchFlag.from) |
    (truth("initial", initial) ? WatchFlag.initial : 0) |
    (truth("values", values) === false ? 0 : WatchFlag.values);
  return { flags, from: from ?? 0n, signal: signal(options) };
}

/**
 * Checks a signal.
 *
 * @param options The options that may have one.
 * @returns The signal.
 */
export function signal({ signal }: { signal?: AbortSignal }): AbortSignal | undefined {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError(`"signal" must be an AbortSignal, not ${show(signal)}`);
  }
  return signal;
}

function truth(name: string, value: unknown): boolean | undefined {
  if (value !== undefined && typeof value !== "boolean") {
    throw new InvalidArgumentError(`"${name}" must be true or false, not ${show(value)}`);
  }
  return value;
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
