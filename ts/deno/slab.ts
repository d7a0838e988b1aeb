/**
 * Fresh bytes. In Deno an `ArrayBuffer` of its own for each small value costs some ten times the read itself, so that
 * many share one.
 *
 * @module
 */
import { markAsUntransferable } from "node:worker_threads";
import type { Memory } from "../scratch.ts";

const SLAB_BYTES = 65_536;

/** A larger value than this is worth a buffer of its own. */
const MAX_SHARED_BYTES = 4096;

/** Up to this length a loop over words beats the built-in copy. */
const MAX_LOOP_BYTES = 128;

/** Hands out pieces of one buffer, and takes the next when it is used up. */
export class Slab {
  #memory = new ArrayBuffer(0);
  #words = new Int32Array(this.#memory);
  #next = 0;

  /**
   * Copies a value.
   *
   * @param memory Where the value is.
   * @param from Where in it.
   * @param length Its length in bytes.
   * @returns The bytes, which nobody else has.
   */
  copyOut(memory: Memory, from: number, length: number): Uint8Array<ArrayBuffer> {
    const { bytes, words } = memory;
    if (length > MAX_SHARED_BYTES) {
      return bytes.slice(from, from + length);
    }
    if (this.#next + length > this.#memory.byteLength) this.#renew();
    const at = this.#next;
    // Aligned, so that any kind of view can be made of the bytes.
    this.#next = (at + length + 7) & ~7;
    const copy = new Uint8Array(this.#memory, at, length);
    if (length > MAX_LOOP_BYTES) {
      copy.set(bytes.subarray(from, from + length));
      return copy;
    }
    const whole = length >> 2;
    const target = this.#words;
    const shift = (from & 3) << 3;
    if (shift === 0) {
      for (let i = 0; i < whole; i++) {
        target[(at >> 2) + i] = words[(from >> 2) + i];
      }
    } else {
      // Each word has a part of two.
      let word = words[from >> 2];
      for (let i = 0; i < whole; i++) {
        const next = words[(from >> 2) + i + 1];
        target[(at >> 2) + i] = word >>> shift | next << (32 - shift);
        word = next;
      }
    }
    for (let i = whole << 2; i < length; i++) copy[i] = bytes[from + i];
    return copy;
  }

  #renew(): void {
    this.#memory = new ArrayBuffer(SLAB_BYTES);
    // Transferring one value would take away all the others.
    markAsUntransferable(this.#memory);
    this.#words = new Int32Array(this.#memory);
    this.#next = 0;
  }
}
