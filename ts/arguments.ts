/**
 * Checks of what callers pass. FFI does not check: one runtime cuts a number to 32 bits where a call is hot, another
 * converts whatever it gets.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { InvalidArgumentError, KeyInvalidError } from "./errors.ts";
import { quote } from "./failures.ts";
import { Condition, encodeOptions, EVICTIONS, Flag, PatternKind, SetFlag, VALUE_TYPES, WatchFlag } from "./layout.ts";
import { encode } from "./scratch.ts";
import type {
  Durability,
  Engine,
  EpochCondition,
  SetOptions,
  SplinterOptions,
  StoreValue,
  WatchOptions,
} from "./types.ts";

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
  const durability = checkedDurability(options);
  return encodeOptions({
    kind,
    slots: whole("slots", 2 ** 26),
    max_key_bytes: whole("maxKeySize", 1024),
    max_value_bytes: whole("maxValueSize", 2 ** 30),
    journal_entries: whole("journal", 2 ** 24),
    mode: whole("mode", 0o777),
    flags: flag("readOnly", true, Flag.readOnly) |
      flag("autoVacuum", false, Flag.throughput) |
      (spin === 0 ? Flag.noSpin : 0) |
      (durability === "commit" ? Flag.commit : 0),
    lock_timeout_ms: whole("lockTimeoutMs", FOR_EVER),
    spin_us: spin,
    poll_interval_ms: whole("pollIntervalMs", FOR_EVER),
    eviction: options.eviction === undefined ? undefined : eviction(options.eviction),
    sync_interval_ms: typeof durability === "object" ? durability.intervalMs : undefined,
  });
}

function checkedDurability({ durability = "none", readOnly }: SplinterOptions): Durability {
  if (durability === "none") return durability;
  const interval: unknown = (durability as { intervalMs?: unknown } | null)?.intervalMs;
  if (durability !== "commit" && interval === undefined) {
    throw new InvalidArgumentError(`"durability" must be none, commit or { intervalMs }, not ${show(durability)}`);
  }
  if (durability !== "commit") integer("intervalMs", interval, 1, FOR_EVER);
  if (readOnly) throw new InvalidArgumentError(`"durability" is for those who may write, not with "readOnly"`);
  return durability;
}

/** How long a write waits for another, in milliseconds, if nothing is said. */
const LOCK_TIMEOUT_MS = 1000;

/** No timer of the runtimes runs longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** The largest time to live: longer than anybody waits, and small enough for every clock. */
const MAX_TTL_MS = 2 ** 43;

/**
 * Checks the options that the native library does not take.
 *
 * @param options The options.
 * @returns What a store object needs of them.
 */
export function settings(
  options: SplinterOptions,
): { lockTimeoutMs: number; sweepIntervalMs?: number; syncsAtIntervals: boolean } {
  const { lockTimeoutMs = LOCK_TIMEOUT_MS, sweepIntervalMs, readOnly, durability } = options;
  if (sweepIntervalMs !== undefined) {
    integer("sweepIntervalMs", sweepIntervalMs, 1, MAX_TIMER_MS);
    if (readOnly) throw new InvalidArgumentError(`"sweepIntervalMs" is for those who may write, not with "readOnly"`);
  }
  return { lockTimeoutMs, sweepIntervalMs, syncsAtIntervals: typeof durability === "object" };
}

/**
 * Checks which engine is asked for.
 *
 * @param options The options.
 * @returns The engine.
 */
export function engine({ engine = "native" }: SplinterOptions): Engine {
  if (engine !== "native" && engine !== "file") {
    throw new InvalidArgumentError(`"engine" must be native or file, not ${show(engine)}`);
  }
  return engine;
}

/**
 * Checks a policy of eviction.
 *
 * @param value The policy.
 * @returns Its number.
 */
export function eviction(value: unknown): number {
  const number = EVICTIONS.indexOf(value as typeof EVICTIONS[number]);
  if (number < 0) {
    throw new InvalidArgumentError(`"eviction" must be one of ${EVICTIONS.join(", ")}, not ${show(value)}`);
  }
  return number;
}

/**
 * Checks a time to live.
 *
 * @param value Milliseconds.
 * @returns Whole milliseconds, rounded up.
 */
export function ttl(value: unknown): number {
  if (typeof value !== "number" || !(value > 0 && value <= MAX_TTL_MS)) {
    throw new InvalidArgumentError(
      `"ttlMs" must be more than 0 milliseconds, and at most ${MAX_TTL_MS}, not ${show(value)}`,
    );
  }
  return Math.ceil(value);
}

/**
 * Checks an epoch that is a condition.
 *
 * @param value The epoch, or `null` for no key.
 * @returns The epoch, or 0 for no key.
 */
export function epoch(value: unknown): bigint {
  if (value === null) return 0n;
  if (typeof value !== "bigint" || BigInt.asUintN(64, value) !== value) {
    throw new InvalidArgumentError(`"ifEpoch" must be an epoch, which is a bigint, or null, not ${show(value)}`);
  }
  return value;
}

/** A write as the native library takes it. */
export interface Write {
  /** Bits of {@linkcode Condition} and {@linkcode SetFlag}. */
  readonly flags: number;
  /** The epoch that the key must have, if the flags say that it matters. */
  readonly epoch?: bigint;
  /** How long the key lives, if the flags say that it matters. */
  readonly ttlMs?: number;
  /** The number of the type, if it was named. */
  readonly type?: number;
}

/** The bits of a write that are conditions. */
export const CONDITIONS = Condition.absent | Condition.present | Condition.epoch;

/**
 * Checks the options of a write.
 *
 * @param options The options.
 * @returns What the native library takes.
 */
export function write(options: SetOptions): Write {
  const { ttlMs, keepTtl, type, ifEpoch, ifAbsent, ifPresent } = options as
    & SetOptions
    & Partial<EpochCondition>
    & { ifAbsent?: boolean; ifPresent?: boolean };
  const conditions = (ifEpoch === undefined ? 0 : Condition.epoch) |
    (truth("ifAbsent", ifAbsent) ? Condition.absent : 0) |
    (truth("ifPresent", ifPresent) ? Condition.present : 0);
  // One bit at most.
  if ((conditions & (conditions - 1)) !== 0) {
    throw new InvalidArgumentError(`Only one of "ifEpoch", "ifAbsent" and "ifPresent" can be asked for`);
  }
  if (truth("keepTtl", keepTtl) && ttlMs !== undefined) {
    throw new InvalidArgumentError(`Only one of "ttlMs" and "keepTtl" can be asked for`);
  }
  const number = type === undefined ? undefined : VALUE_TYPES.indexOf(type);
  if (number === -1) {
    throw new InvalidArgumentError(`"type" must be one of ${VALUE_TYPES.join(", ")}, not ${show(type)}`);
  }
  return {
    flags: conditions | (ttlMs === undefined ? 0 : SetFlag.ttl) | (keepTtl ? SetFlag.keepTtl : 0),
    epoch: ifEpoch === undefined ? undefined : epoch(ifEpoch),
    ttlMs: ttlMs === undefined ? undefined : ttl(ttlMs),
    type: number,
  };
}

/**
 * Checks the operand of an operation on numbers.
 *
 * @param value The operand.
 * @param isSigned Whether the numbers have a sign.
 * @returns The operand.
 */
export function operand(value: unknown, isSigned: boolean): bigint {
  const number = typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
  if (typeof number !== "bigint" || (isSigned ? BigInt.asIntN(64, number) : BigInt.asUintN(64, number)) !== number) {
    const range = isSigned ? "-2^63 to 2^63-1" : `0 to 2^64-1, or be "signed"`;
    throw new InvalidArgumentError(`"operand" must be a bigint or a safe integer from ${range}, not ${show(value)}`);
  }
  return number;
}

/**
 * Checks what is appended.
 *
 * @param data Bytes, or text.
 * @returns The bytes.
 */
export function appendable(data: unknown): Uint8Array {
  if (typeof data === "string") return encode(data);
  const bytes = bytesOf(data as StoreValue);
  if (bytes === null) throw new InvalidArgumentError(`"data" must be a string or bytes, not ${show(data)}`);
  return attached(bytes);
}

/**
 * Checks that a key is a string.
 *
 * @param key The key.
 */
export function isString(key: unknown): asserts key is string {
  if (typeof key !== "string") throw new InvalidArgumentError(`Key must be a string, not ${typeof key}`);
}

/**
 * Checks that a key has a UTF-8 form.
 *
 * @param key The key.
 */
export function isWellFormed(key: string): void {
  if (!key.isWellFormed()) {
    throw new KeyInvalidError(`Key ${quote(key)} has a lone surrogate, which has no UTF-8 form`);
  }
}

/**
 * Checks a prefix of keys.
 *
 * @param value The prefix.
 * @returns The prefix.
 */
export function prefix(value: unknown): string {
  if (typeof value !== "string") throw new InvalidArgumentError(`"prefix" must be a string`);
  if (!value.isWellFormed()) throw new KeyInvalidError(`Prefix ${quote(value)} has no UTF-8 form`);
  return value;
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
 * @param before What is before each of the keys.
 * @returns The pattern, encoded.
 */
export function pattern(value: unknown, before = ""): Pattern {
  if (typeof value === "string") {
    if (!/[*?]/.test(value)) return onlyKey(before + value);
    const glob = before.replace(/[*?\\]/g, "\\$&") + value;
    return { kind: PatternKind.glob, bytes: utf8(glob), shown: `keys like ${quote(glob)}` };
  }
  if (Array.isArray(value)) {
    if (value.length === 0 || !value.every((key) => typeof key === "string")) {
      throw new InvalidArgumentError(`"pattern" must have keys, which are strings, and one at least`);
    }
    // It separates them.
    const bad = value.find((key) => key.includes("\0"));
    if (bad !== undefined) throw new KeyInvalidError(`Key ${quote(bad)} is not valid: it contains NUL`);
    return {
      kind: PatternKind.keys,
      bytes: utf8(value.map((key) => before + key).join("\0")),
      shown: `${value.length} keys`,
    };
  }
  const prefix = (value as { prefix?: unknown } | null | undefined)?.prefix;
  if (typeof prefix !== "string") {
    throw new InvalidArgumentError(`"pattern" must be a string, an array of keys or a prefix, not ${show(value)}`);
  }
  const whole = before + prefix;
  return { kind: PatternKind.prefix, bytes: utf8(whole), shown: `keys that begin with ${quote(whole)}` };
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
  /** The labels that keys must have, one bit each, if the flags say that they matter. */
  readonly labels: bigint;
  /** What ends it. */
  readonly signal?: AbortSignal;
}

/**
 * Checks how a watch is to be started.
 *
 * @param options The options.
 * @param labels Their labels, one bit each.
 * @returns How the native library starts it.
 */
export function start(options: WatchOptions, labels?: bigint): Start {
  const { initial, from, values, appended } = options;
  if (from !== undefined && (typeof from !== "bigint" || BigInt.asUintN(64, from) !== from)) {
    throw new InvalidArgumentError(`"from" must be a bigint of 0 or more that fits 64 bits, not ${show(from)}`);
  }
  const flags = (from === undefined ? 0 : WatchFlag.from) |
    (truth("initial", initial) ? WatchFlag.initial : 0) |
    (truth("values", values) === false ? 0 : WatchFlag.values) |
    (truth("appended", appended) ? WatchFlag.appended : 0) |
    (labels === undefined ? 0 : WatchFlag.labels);
  if (appended && values === false) {
    throw new InvalidArgumentError(`"appended" asks for values, and "values" for none`);
  }
  return { flags, from: from ?? 0n, labels: labels ?? 0n, signal: signal(options) };
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

/**
 * Checks a truth value.
 *
 * @param name What it is, for the message.
 * @param value The value.
 * @returns The value.
 */
export function truth(name: string, value: unknown): boolean | undefined {
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
 * @returns Its bytes, the text whose UTF-8 form is stored, or the number of 64 bits.
 */
export function serialize(value: StoreValue): string | Uint8Array | bigint {
  if (typeof value === "string") return value;
  const bytes = bytesOf(value);
  if (bytes !== null) return attached(bytes);
  if (typeof value !== "bigint") return json(value);
  if (BigInt.asIntN(64, value) !== value && BigInt.asUintN(64, value) !== value) {
    throw new InvalidArgumentError("Value is a bigint that does not fit 64 bits");
  }
  return value;
}

function attached(bytes: Uint8Array): Uint8Array {
  if (bytes.length === 0 && isDetached(bytes.buffer)) {
    throw new InvalidArgumentError("Value is a view of a buffer that was transferred");
  }
  return bytes;
}

/**
 * Tells whether a value is stored byte for byte.
 *
 * @param value The value.
 * @returns Whether it is.
 */
export function isBytes(value: unknown): boolean {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
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
