/**
 * What an open store does: every call goes to the native library by way of the scratch memory.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { Channels } from "./channel.ts";
import { ERROR_NUMBERS, InvalidArgumentError, KeyInvalidError, type SplinterError, WrongTypeError } from "./errors.ts";
import { CURSOR_BYTES, decodeHeader, decodeSlot, ERROR_BYTES, HEADER, HEADER_BYTES, NO_KEY, RECORD } from "./layout.ts";
import { explained, failure, quote, type Subject } from "./failures.ts";
import { ChangeFeed, EventFeed, Hub } from "./hub.ts";
import type { Handle, Native, Runtime } from "./native.ts";
import { decode, encode, Scratch, VALUE_AT } from "./scratch.ts";
import type { Store } from "./store.ts";
import type {
  BusHeaderSnapshot,
  Change,
  ChangesOptions,
  Channel,
  KeysOptions,
  PollOptions,
  SlotSnapshot,
  StoreValue,
  Unsubscribe,
  Watch,
  WatchEvent,
  WatchOptions,
  WatchPattern,
} from "./types.ts";
import { once, Stream, Subscription, unsubscriber } from "./watching.ts";

/** How much of a scan is fetched at once. */
const PAGE_BYTES = 8192;

const CLOSED = -ERROR_NUMBERS.CLOSED;
const VALUE_TOO_LARGE = -ERROR_NUMBERS.VALUE_TOO_LARGE;

/** Closes what nobody closed and nobody can reach any more. */
const abandoned = new FinalizationRegistry<Hub>((hub) => hub.close());

/** An open store. */
export class OpenStore implements Store {
  readonly #runtime: Runtime;
  readonly #native: Native;
  readonly #scratch: Scratch;
  readonly #header: DataView;
  readonly #maxValueSize: number;
  readonly #hub: Hub;
  #channels: Channels | undefined;
  // Closing makes it null, which native code answers with CLOSED: so no operation has to ask first.
  #handle: Handle | null;

  /** Takes charge of what the native library opened. */
  constructor(runtime: Runtime, native: Native, handle: Handle) {
    this.#runtime = runtime;
    this.#native = native;
    this.#handle = handle;
    const header = new Uint8Array(HEADER_BYTES);
    this.#header = new DataView(header.buffer);
    this.#hub = new Hub(runtime, native, handle, this.#header);
    abandoned.register(this, this.#hub, this);
    let result = native.spl_header_snapshot(handle, header);
    this.#maxValueSize = this.#header.getUint32(HEADER.max_value_bytes, true);
    this.#scratch = new Scratch(this.#maxValueSize);
    const { bytes } = this.#scratch;
    if (result >= 0) result = native.spl_scratch(handle, bytes, bytes.length);
    if (result < 0) {
      this.close();
      throw this.#error(result);
    }
  }

  set(key: string, value: StoreValue): void {
    this.#write(key, value, true);
  }

  trySet(key: string, value: StoreValue): void {
    this.#write(key, value, false);
  }

  unset(key: string): number | null {
    const length = this.#scratch.putKey(key);
    return this.#orNull(this.#native.spl_scratch_unset(this.#handle, length), key);
  }

  tryUnset(key: string): number | null {
    const length = this.#scratch.putKey(key);
    return this.#orNull(this.#native.spl_scratch_try_unset(this.#handle, length), key);
  }

  getRaw(key: string): Uint8Array<ArrayBuffer> | null {
    const scratch = this.#scratch;
    const keyLength = scratch.putKey(key);
    const length = this.#native.spl_scratch_get(this.#handle, keyLength);
    if (length >= 0 && length <= scratch.room) {
      return this.#runtime.copyOut(scratch, VALUE_AT, length);
    }
    return this.#orLarge(length, key, keyLength);
  }

  get(key: string): Uint8Array<ArrayBuffer> | null {
    return this.getRaw(key);
  }

  getInto(key: string, buffer: Uint8Array): number | null {
    if (!(buffer instanceof Uint8Array)) {
      throw new InvalidArgumentError(`"buffer" must be a Uint8Array`);
    }
    // No value is larger, and the length has to fit 32 bits.
    const capacity = Math.min(buffer.length, this.#maxValueSize);
    const keyLength = this.#scratch.putKey(key);
    const length = this.#native.spl_scratch_get_into(this.#handle, keyLength, buffer, capacity);
    if (length > capacity) {
      throw new InvalidArgumentError(
        `Value of key ${quote(key)} is ${length} bytes long and does not fit a buffer of ${buffer.length}`,
      );
    }
    return length >= 0 ? length : this.#orNull(length, key);
  }

  getString(key: string): string | null {
    const scratch = this.#scratch;
    const keyLength = scratch.putKey(key);
    const length = this.#native.spl_scratch_get(this.#handle, keyLength);
    if (length >= 0 && length <= scratch.room) return scratch.text(VALUE_AT, length);
    const bytes = this.#orLarge(length, key, keyLength);
    return bytes === null ? null : decode(bytes);
  }

  getJSON<T = unknown>(key: string): T | null {
    const text = this.getString(key);
    if (text === null) return null;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new WrongTypeError(`Value of key ${quote(key)} is not JSON`, { cause });
    }
  }

  has(key: string): boolean {
    const length = this.#scratch.putKey(key);
    const result = this.#native.spl_scratch_contains(this.#handle, length);
    if (result < NO_KEY) throw this.#error(result, { key });
    return result === 1;
  }

  list(maxKeys: number = 1000): string[] {
    const max = maxKeys === Infinity ? maxKeys : check.integer("maxKeys", maxKeys, 0, Number.MAX_SAFE_INTEGER);
    const keys: string[] = [];
    for (const key of this.keys()) {
      if (keys.length >= max) break;
      keys.push(key);
    }
    return keys;
  }

  keys(options: KeysOptions = {}): Generator<string, void, undefined> {
    return this.#scan(this.#prefix(options));
  }

  entries(options: KeysOptions = {}): Generator<[key: string, value: Uint8Array<ArrayBuffer>], void, undefined> {
    return this.#pairs(this.#scan(this.#prefix(options)));
  }

  epoch(key: string): bigint | null {
    const length = this.#scratch.putKey(key);
    const result = this.#native.spl_scratch_epoch(this.#handle, length);
    return this.#orNull(result, key) === null ? null : this.#scratch.results.getBigUint64(0, true);
  }

  getSlotSnapshot(key: string): SlotSnapshot | null {
    const length = this.#scratch.putKey(key);
    const result = this.#native.spl_scratch_slot_snapshot(this.#handle, length);
    return this.#orNull(result, key) === null ? null : decodeSlot(this.#scratch.results, key);
  }

  getBusHeaderSnapshot(): BusHeaderSnapshot {
    const header = new Uint8Array(HEADER_BYTES);
    this.#expect(this.#native.spl_header_snapshot(this.#handle, header));
    return decodeHeader(new DataView(header.buffer));
  }

  poll(key: string, timeoutMs: number): boolean {
    const time = check.timeout(timeoutMs);
    const length = this.#scratch.putKey(key);
    const result = this.#native.spl_scratch_poll(this.#handle, length, time);
    return this.#expect(result, { key }) === 1;
  }

  async pollAsync(key: string, options: PollOptions = {}): Promise<boolean> {
    const { timeoutMs = Infinity } = options;
    check.timeout(timeoutMs);
    const signal = check.signal(options);
    signal?.throwIfAborted();
    const feed = new EventFeed(this.#hub, this, check.onlyKey(key), check.start({ values: false }));
    return await once(feed, timeoutMs, signal, () => this.#error(CLOSED));
  }

  watch(pattern: WatchPattern, options: WatchOptions = {}): Watch {
    return new Stream(this.#watch(pattern, options));
  }

  subscribe(pattern: WatchPattern, callback: (event: WatchEvent) => void, options: WatchOptions = {}): Unsubscribe {
    if (typeof callback !== "function") {
      throw new InvalidArgumentError(`"callback" must be a function`);
    }
    const feed = this.#watch(pattern, options);
    new Subscription(feed, callback);
    return unsubscriber(feed);
  }

  changes(options: ChangesOptions = {}): Watch<Change> {
    return new Stream(new ChangeFeed(this.#hub, this, check.start(options)));
  }

  channel(name: string): Channel {
    this.#channels ??= new Channels(this, this.#hub, this.#maxValueSize);
    return this.#channels.open(name);
  }

  get autoVacuum(): boolean {
    return this.#expect(this.#native.spl_auto_vacuum(this.#handle)) === 1;
  }

  set autoVacuum(on: boolean) {
    if (typeof on !== "boolean") {
      throw new InvalidArgumentError(`"autoVacuum" must be true or false`);
    }
    this.#expect(this.#native.spl_set_auto_vacuum(this.#handle, on ? 1 : 0));
  }

  getAV(): 0 | 1 {
    return this.autoVacuum ? 1 : 0;
  }

  setAV(on: 0 | 1): void {
    this.autoVacuum = check.integer("on", on, 0, 1) === 1;
  }

  sync(): void {
    const error = new Uint8Array(ERROR_BYTES);
    const result = this.#native.spl_sync(this.#handle, error);
    if (result < 0) throw this.#told(result, error, "write the store to its disk");
  }

  backup(path: string | URL): void {
    const target = check.path("path", path);
    this.#runtime.permit(target, "write");
    const name = encode(target);
    const error = new Uint8Array(ERROR_BYTES);
    const result = this.#native.spl_backup(this.#handle, name, name.length, error);
    if (result < 0) throw this.#told(result, error, `copy the store to "${target}"`);
  }

  get path(): string {
    let buffer = new Uint8Array(256);
    for (;;) {
      const length = this.#expect(this.#native.spl_path(this.#handle, buffer, buffer.length));
      if (length <= buffer.length) return decode(buffer.subarray(0, length));
      buffer = new Uint8Array(length);
    }
  }

  get opened(): boolean {
    return this.#handle !== null;
  }

  close(): void {
    if (this.#handle === null) return;
    this.#handle = null;
    abandoned.unregister(this);
    this.#hub.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #watch(pattern: WatchPattern, options: WatchOptions): EventFeed {
    return new EventFeed(this.#hub, this, check.pattern(pattern), check.start(options));
  }

  #write(key: string, value: StoreValue, wait: boolean): void {
    const native = this.#native;
    const scratch = this.#scratch;
    // Before the key is put down: toJSON() of a value may use this store too.
    let data = check.serialize(value);
    if (typeof data === "string") {
      const length = scratch.putText(data);
      if (length >= 0) {
        const keyLength = scratch.putKey(key);
        const result = wait
          ? native.spl_scratch_set(this.#handle, keyLength, length)
          : native.spl_scratch_try_set(this.#handle, keyLength, length);
        if (result < 0) throw this.#error(result, { key, size: length });
        return;
      }
      data = encode(data);
    }
    const size = data.length;
    // The native library would say so too, but takes a size of 32 bits.
    if (size > this.#maxValueSize) {
      throw this.#error(this.opened ? VALUE_TOO_LARGE : CLOSED, { key, size });
    }
    const keyLength = scratch.putKey(key);
    const result = wait
      ? native.spl_scratch_set_from(this.#handle, keyLength, data, size)
      : native.spl_scratch_try_set_from(this.#handle, keyLength, data, size);
    if (result < 0) throw this.#error(result, { key, size });
  }

  /** Turns the result of a get that found nothing in the scratch to bytes. */
  #orLarge(length: number, key: string, keyLength: number): Uint8Array<ArrayBuffer> | null {
    // A value may grow between two calls, but not without end.
    while (this.#orNull(length, key) !== null) {
      const buffer = new Uint8Array(length);
      length = this.#native.spl_scratch_get_into(this.#handle, keyLength, buffer, buffer.length);
      if (length >= 0 && length <= buffer.length) {
        return buffer.subarray(0, length);
      }
    }
    return null;
  }

  #prefix({ prefix = "" }: KeysOptions): Uint8Array {
    if (typeof prefix !== "string") {
      throw new InvalidArgumentError(`"prefix" must be a string`);
    }
    if (!prefix.isWellFormed()) {
      throw new KeyInvalidError(`Prefix ${quote(prefix)} has no UTF-8 form`);
    }
    if (this.#handle === null) throw this.#error(CLOSED);
    return encode(prefix);
  }

  *#scan(prefix: Uint8Array): Generator<string, void, undefined> {
    const cursor = new Uint8Array(CURSOR_BYTES);
    const page = new Uint8Array(PAGE_BYTES);
    const view = new DataView(page.buffer);
    for (;;) {
      const filled = this.#expect(
        this.#native.spl_scan(this.#handle, cursor, prefix, prefix.length, page, page.length),
      );
      if (filled === 0) return;
      for (let at = 0; at < filled;) {
        const key = at + RECORD.key;
        const end = key + view.getUint32(at + RECORD.key_len, true);
        yield decode(page.subarray(key, end));
        // The page outlives the store, but a closed store gives nothing.
        if (this.#handle === null) throw this.#error(CLOSED);
        at = (end + 7) & ~7;
      }
    }
  }

  *#pairs(keys: Iterable<string>): Generator<[key: string, value: Uint8Array<ArrayBuffer>], void, undefined> {
    for (const key of keys) {
      const value = this.getRaw(key);
      // It may have been deleted since the scan saw it.
      if (value !== null) yield [key, value];
    }
  }

  #orNull(result: number, key: string): number | null {
    if (result >= 0) return result;
    if (result === NO_KEY) return null;
    throw this.#error(result, { key });
  }

  #expect(result: number, subject: Subject = {}): number {
    if (result < 0) throw this.#error(result, subject);
    return result;
  }

  #error(result: number, subject: Subject = {}): SplinterError {
    return failure(result, this.#header, subject);
  }

  /** The error of a call that says more than its result. */
  #told(result: number, error: Uint8Array, task: string): SplinterError {
    return result === CLOSED ? this.#error(result) : explained(error, task);
  }
}
