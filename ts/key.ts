/**
 * One key of a store, which native code knows by a pointer.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { ClosedError, ERROR_NUMBERS, InvalidArgumentError } from "./errors.ts";
import { quote } from "./failures.ts";
import type { Hub } from "./hub.ts";
import { NO_KEY, ValueNumber } from "./layout.ts";
import type { Handle, Opened, Runtime } from "./native.ts";
import { decode, type Scratch, VALUE_AT } from "./scratch.ts";
import type { Store } from "./store.ts";
import type { Key, StoreValue } from "./types.ts";

/** What a key has of its store. */
export interface Home {
  /** The runtime. */
  readonly runtime: Runtime;
  /** The native library. */
  readonly native: Opened;
  /** The scratch memory of the store, which its keys use too. */
  readonly scratch: Scratch;
  /** The store, which is not given up while somebody has one of its keys. */
  readonly store: Store;
  /** Who closes the key with the store. */
  readonly hub: Hub;
  /** The largest value of the store, in bytes. */
  readonly maxValueSize: number;
}

const CLOSED = -ERROR_NUMBERS.CLOSED;

/** Closes what nobody closed and nobody can reach any more. */
const abandoned = new FinalizationRegistry<{ hub: Hub; handle: Handle }>(({ hub, handle }) => hub.closeKey(handle));

/** One key of an open store. */
export class StoreKey implements Key {
  readonly name: string;
  readonly #key: string;
  readonly #native: Opened;
  readonly #scratch: Scratch;
  readonly #runtime: Runtime;
  readonly #home: Home;
  // Closing makes it null, which native code answers with CLOSED. Here and not in an object of its own, which a get would have to
  // fetch too.
  #handle: Handle | null;

  /** Prepares a key, which stands in the scratch memory. */
  constructor(home: Home, { key, name, keyLength }: { key: string; name: string; keyLength: number }) {
    const { hub, native, scratch, runtime } = home;
    this.name = name;
    this.#key = key;
    this.#home = home;
    this.#native = native;
    this.#scratch = scratch;
    this.#runtime = runtime;
    const handle = hub.openKey(this, scratch.key, keyLength, `prepare key ${quote(key)}`);
    this.#handle = handle;
    abandoned.register(this, { hub, handle }, this);
  }

  get(): Uint8Array<ArrayBuffer> | null {
    const length = this.#native.spl_key_scratch_get(this.#handle);
    if (length >= 0 && length <= this.#scratch.room) return this.#runtime.copyOut(this.#scratch, VALUE_AT, length);
    return this.#orLarge(length);
  }

  getRaw(): Uint8Array<ArrayBuffer> | null {
    return this.get();
  }

  getInto(buffer: Uint8Array): number | null {
    if (!(buffer instanceof Uint8Array)) throw new InvalidArgumentError(`"buffer" must be a Uint8Array`);
    // No value is larger, and the length has to fit 32 bits.
    const capacity = Math.min(buffer.length, this.#home.maxValueSize);
    const length = this.#native.spl_key_get(this.#handle, buffer, capacity);
    if (length > capacity) {
      throw new InvalidArgumentError(
        `Value of key ${quote(this.#key)} is ${length} bytes long and does not fit a buffer of ${buffer.length}`,
      );
    }
    return length >= 0 ? length : this.#orNull(length);
  }

  getString(): string | null {
    const length = this.#native.spl_key_scratch_get(this.#handle);
    if (length >= 0 && length <= this.#scratch.room) return this.#scratch.text(VALUE_AT, length);
    const bytes = this.#orLarge(length);
    return bytes === null ? null : decode(bytes);
  }

  set(value: StoreValue): void {
    const data = typeof value === "string" ? value : check.serialize(value);
    if (data instanceof Uint8Array) {
      const size = data.length;
      if (size <= this.#home.maxValueSize) {
        const result = this.#native.spl_key_set(this.#handle, data, size);
        if (result < 0) throw this.#error(result, size);
        return;
      }
    }
    if (typeof data === "string") {
      const size = this.#scratch.putText(data);
      if (size >= 0) {
        const type = typeof value === "string" ? ValueNumber.text : ValueNumber.json;
        const result = this.#native.spl_key_scratch_set_typed(this.#handle, size, type);
        if (result < 0) throw this.#error(result, size);
        return;
      }
    }
    this.#expectOpen();
    this.#home.store.set(this.#key, value);
  }

  unset(): number | null {
    return this.#orNull(this.#native.spl_key_unset(this.#handle));
  }

  has(): boolean {
    const result = this.#native.spl_key_exists(this.#handle);
    if (result < NO_KEY) throw this.#error(result);
    return result === 1;
  }

  epoch(): bigint | null {
    const result = this.#native.spl_key_scratch_epoch(this.#handle);
    return this.#orNull(result) === null ? null : this.#scratch.longs[0];
  }

  changed(): boolean {
    const result = this.#native.spl_key_changed(this.#handle);
    if (result < 0) throw this.#error(result);
    return result === 1;
  }

  append(data: string | Uint8Array): number {
    if (typeof data === "string") {
      // Encoding it in place spares more than the remembered slot does.
      this.#expectOpen();
      return this.#home.store.append(this.#key, data);
    }
    const bytes = check.appendable(data);
    const size = bytes.length;
    if (size > this.#home.maxValueSize) {
      this.#expectOpen();
      return this.#home.store.append(this.#key, data);
    }
    const result = this.#native.spl_key_append(this.#handle, bytes, size);
    if (result < 0) throw this.#error(result, size);
    return result;
  }

  close(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    abandoned.unregister(this);
    this.#home.hub.closeKey(handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Turns the result of a get that found nothing in the scratch to bytes. */
  #orLarge(length: number): Uint8Array<ArrayBuffer> | null {
    // A value may grow between two calls, but not without end.
    while (this.#orNull(length) !== null) {
      const buffer = new Uint8Array(length);
      length = this.#native.spl_key_get(this.#handle, buffer, buffer.length);
      if (length >= 0 && length <= buffer.length) return buffer.subarray(0, length);
    }
    return null;
  }

  /** The native library says so itself, where it is asked. */
  #expectOpen(): void {
    if (this.#handle === null) this.has();
  }

  #orNull(result: number): number | null {
    if (result >= 0) return result;
    if (result === NO_KEY) return null;
    throw this.#error(result);
  }

  #error(result: number, size?: number): Error {
    if (result === CLOSED && this.#home.store.opened) return new ClosedError(`Key ${quote(this.#key)} is closed`);
    return this.#home.hub.error(result, { key: this.#key, size });
  }
}
