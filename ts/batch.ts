/**
 * Many keys and values packed for one call, as `spl_get_many` and `spl_set_many` take them.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { decode, encodeInto, Memory, putAscii, roundUp } from "./scratch.ts";

const FIRST_BYTES = 8192;

/** More memory than this is given back after use. */
const MAX_KEPT_BYTES = 1 << 20;

/** The size of a length. */
export const LENGTH_BYTES = 4;

/** A character of UTF-16 has at most so many bytes in UTF-8. */
const MAX_CHARACTER_BYTES = 3;

/** Up to this length a loop beats the built-in copy. */
const SHORT_COPY = 64;

/** Records of lengths and bytes, one behind the other without padding, in memory that grows. */
export class Batch {
  #bytes = new Memory(FIRST_BYTES).bytes;
  #length = 0;

  /** How many bytes there are. */
  get length(): number {
    return this.#length;
  }

  /** The bytes, and what lies behind them. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Forgets all records. */
  clear(): void {
    this.#length = 0;
    // What was once needed for much is not kept for ever.
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = new Memory(FIRST_BYTES).bytes;
  }

  /**
   * Adds a key with its length.
   *
   * @param key The key.
   */
  addKey(key: string): void {
    check.isString(key);
    const at = this.#length;
    const start = at + LENGTH_BYTES;
    this.#reserve(start + key.length * MAX_CHARACTER_BYTES);
    const length = this.#putText(start, key, true);
    this.#putLength(at, length);
    this.#length = start + length;
  }

  /**
   * Adds a key and a value with their lengths.
   *
   * @param key The key.
   * @param value The value, or the text whose UTF-8 form it is.
   */
  addEntry(key: string, value: string | Uint8Array): void {
    check.isString(key);
    const at = this.#length;
    const start = at + 2 * LENGTH_BYTES;
    const isText = typeof value === "string";
    const room = isText ? value.length * MAX_CHARACTER_BYTES : value.length;
    this.#reserve(start + key.length * MAX_CHARACTER_BYTES + room);
    const keyLength = this.#putText(start, key, true);
    const valueAt = start + keyLength;
    const valueLength = isText ? this.#putText(valueAt, value, false) : this.#putBytes(valueAt, value);
    this.#putLength(at, keyLength);
    this.#putLength(at + LENGTH_BYTES, valueLength);
    this.#length = valueAt + valueLength;
  }

  /**
   * Reads a key that was added.
   *
   * @param at Where its record begins.
   * @returns The key.
   */
  keyAt(at: number): string {
    return decode(this.#bytes.subarray(at + LENGTH_BYTES, this.afterKey(at)));
  }

  /**
   * Tells where the record behind that of a key begins.
   *
   * @param at Where the record of the key begins.
   * @returns Where the next one begins.
   */
  afterKey(at: number): number {
    return at + LENGTH_BYTES + lengthAt(this.#bytes, at);
  }

  /**
   * Reads the key of an entry, and how long the value is.
   *
   * @param count How many entries are before it.
   * @returns The key, and the length of the value in bytes.
   */
  entry(count: number): { key: string; size: number } {
    const bytes = this.#bytes;
    for (let at = 0;;) {
      const key = at + 2 * LENGTH_BYTES;
      const end = key + lengthAt(bytes, at);
      const size = lengthAt(bytes, at + LENGTH_BYTES);
      if (count-- === 0) return { key: decode(bytes.subarray(key, end)), size };
      at = end + size;
    }
  }

  #putText(at: number, text: string, isKey: boolean): number {
    if (putAscii(this.#bytes, at, text)) return text.length;
    if (isKey) check.isWellFormed(text);
    return encodeInto(text, this.#bytes.subarray(at));
  }

  #putBytes(at: number, value: Uint8Array): number {
    const bytes = this.#bytes;
    const length = value.length;
    if (length > SHORT_COPY) bytes.set(value, at);
    else for (let i = 0; i < length; i++) bytes[at + i] = value[i];
    return length;
  }

  #putLength(at: number, length: number): void {
    const bytes = this.#bytes;
    bytes[at] = length;
    bytes[at + 1] = length >> 8;
    bytes[at + 2] = length >> 16;
    bytes[at + 3] = length >> 24;
  }

  #reserve(needed: number): void {
    const bytes = this.#bytes;
    if (needed <= bytes.length) return;
    const larger = new Memory(roundUp(Math.max(needed, 2 * bytes.length)));
    larger.bytes.set(bytes.subarray(0, this.#length));
    this.#bytes = larger.bytes;
  }
}

/**
 * Reads a length.
 *
 * @param bytes Where.
 * @param at Where in it.
 * @returns The length, or -1 for what is not there.
 */
export function lengthAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
}
