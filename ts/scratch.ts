/**
 * The memory that a handle shares with the native library, so that no call has to pass a buffer: results, key and value
 * each have their place in it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { InvalidArgumentError, KeyInvalidError, KeyTooLongError } from "./errors.ts";

const KEY_AT = 64;

/** No key is longer. */
export const KEY_ROOM = 1088;

/** Where the value begins. */
export const VALUE_AT = KEY_AT + KEY_ROOM;

/** A larger value than this goes through a buffer of its own. */
export const MAX_VALUE_ROOM = 65_536;

/** Up to this length a loop beats the encoder, which costs more to call. */
const SHORT_TEXT = 32;

/** Up to this length the quicker call beats the quicker decoder. */
const SHORT_SLICE = 256;

/** Up to this length a loop beats the encoder where a place for its result would have to be made too. */
const MAX_ASCII_LOOP = 96;

const MAX_ASCII = 0x7f;

/** The size of a number of 64 bits. */
export const NUMBER_BYTES = 8;

const encoder = new TextEncoder();
// A store gives back what was put in, a leading U+FEFF too.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Memory that native code writes to. */
export class Memory {
  /** All of it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** All of it, four bytes at a time. */
  readonly words: Int32Array;
  /** All of it, eight bytes at a time. */
  readonly longs: BigUint64Array;

  readonly #buffer: Buffer;

  /**
   * Allocates the memory.
   *
   * @param size How much, in bytes: a multiple of 8.
   */
  constructor(size: number) {
    // An ArrayBuffer made first never moves, whatever its size: the native library may keep its address.
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.words = new Int32Array(memory);
    this.longs = new BigUint64Array(memory);
    this.#buffer = Buffer.from(memory);
  }

  /**
   * Decodes UTF-8.
   *
   * @param at Where it begins.
   * @param length Its length in bytes.
   * @returns The text; what is not UTF-8 becomes U+FFFD.
   */
  text(at: number, length: number): string {
    return length <= SHORT_SLICE
      ? this.#buffer.toString("utf8", at, at + length)
      : decoder.decode(this.bytes.subarray(at, at + length));
  }
}

/** The scratch memory of one handle. */
export class Scratch extends Memory {
  /** The results, such as an epoch or a slot snapshot, and the options of a write. */
  readonly results: DataView;
  /** The largest value that fits. */
  readonly room: number;

  /** Where the key is. */
  readonly key: Uint8Array;

  readonly #value: Uint8Array;

  /**
   * Allocates the memory.
   *
   * @param maxValueSize The largest value of the store, in bytes.
   */
  constructor(maxValueSize: number) {
    const room = roundUp(Math.min(maxValueSize, MAX_VALUE_ROOM));
    super(VALUE_AT + Math.max(room, NUMBER_BYTES));
    this.room = room;
    const memory = this.bytes.buffer;
    this.results = new DataView(memory, 0, KEY_AT);
    this.key = new Uint8Array(memory, KEY_AT, KEY_ROOM);
    this.#value = new Uint8Array(memory, VALUE_AT);
  }

  /**
   * Puts a key in its place.
   *
   * @param key The key.
   * @returns Its length in bytes.
   */
  putKey(key: string): number {
    if (typeof key !== "string") {
      throw new InvalidArgumentError(`Key must be a string, not ${typeof key}`);
    }
    const length = key.length;
    if (length > KEY_ROOM) throw keyTooLong(key);
    const bytes = this.bytes;
    let seen = 0;
    let i = 0;
    // Four at a time, which is a fifth quicker in one of the runtimes.
    for (; i < length - 3; i += 4) {
      const a = key.charCodeAt(i);
      const b = key.charCodeAt(i + 1);
      const c = key.charCodeAt(i + 2);
      const d = key.charCodeAt(i + 3);
      seen |= a | b | c | d;
      bytes[KEY_AT + i] = a;
      bytes[KEY_AT + i + 1] = b;
      bytes[KEY_AT + i + 2] = c;
      bytes[KEY_AT + i + 3] = d;
    }
    for (; i < length; i++) {
      const code = key.charCodeAt(i);
      seen |= code;
      bytes[KEY_AT + i] = code;
    }
    if (seen > MAX_ASCII) return this.#putWideKey(key);
    return length;
  }

  #putWideKey(key: string): number {
    if (!key.isWellFormed()) {
      throw new KeyInvalidError(`Key ${JSON.stringify(key)} has a lone surrogate, which has no UTF-8 form`);
    }
    const { read, written } = encoder.encodeInto(key, this.key);
    if (read < key.length) throw keyTooLong(key);
    return written;
  }

  /**
   * Puts a text in the place of the value, as UTF-8.
   *
   * @param text The text.
   * @returns Its length in bytes, or -1 if it does not fit.
   */
  putText(text: string): number {
    const length = text.length;
    if (length > this.room) return -1;
    if (length <= SHORT_TEXT) {
      const bytes = this.bytes;
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code > MAX_ASCII) break;
        bytes[VALUE_AT + i] = code;
      }
      if (i === length) return length;
    }
    const { read, written } = encoder.encodeInto(text, this.#value);
    return read === length ? written : -1;
  }

  /**
   * Puts a number in the place of the value.
   *
   * @param number The number, of 64 bits.
   * @returns Its length in bytes.
   */
  putNumber(number: bigint): number {
    this.longs[VALUE_AT >> 3] = number;
    return NUMBER_BYTES;
  }
}

/**
 * Puts a text somewhere, if it is ASCII and short enough for a loop to be worth it.
 *
 * @param bytes Where.
 * @param at Where in it; there is room.
 * @param text The text.
 * @returns Whether it was done; if not, other bytes may be there.
 */
export function putAscii(bytes: Uint8Array, at: number, text: string): boolean {
  const length = text.length;
  if (length > MAX_ASCII_LOOP) return false;
  let seen = 0;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    seen |= code;
    bytes[at + i] = code;
  }
  return seen <= MAX_ASCII;
}

/**
 * Encodes a text as UTF-8 in place.
 *
 * @param text The text.
 * @param room Where, with room for all of it.
 * @returns Its length in bytes.
 */
export function encodeInto(text: string, room: Uint8Array): number {
  return encoder.encodeInto(text, room).written;
}

/**
 * Rounds up to where a number of 64 bits may stand.
 *
 * @param length A length or a place, in bytes.
 * @returns The next multiple of 8.
 */
export function roundUp(length: number): number {
  return (length + 7) & ~7;
}

/**
 * Encodes a text as UTF-8.
 *
 * @param text The text.
 * @returns Its bytes.
 */
export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}

/**
 * Decodes UTF-8.
 *
 * @param bytes The bytes.
 * @returns The text; what is not UTF-8 becomes U+FFFD.
 */
export function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** No store takes such a key: the place of the key is larger than any key. */
function keyTooLong(key: string): KeyTooLongError {
  return new KeyTooLongError(
    `Key of ${key.length} characters is too long, no store takes keys of more than 1024 bytes`,
  );
}
