/**
 * What an open store does: every call goes to the native library by way of the scratch memory.
 *
 * @module
 */
import * as check from "./arguments.ts";
import { Channels } from "./channel.ts";
import { Batch, LENGTH_BYTES, lengthAt } from "./batch.ts";
import { ERROR_NUMBERS, InvalidArgumentError, SplinterError, WrongTypeError } from "./errors.ts";
import * as layout from "./layout.ts";
import {
  CURSOR_BYTES,
  decodeHeader,
  decodeRecovery,
  decodeSlot,
  ENTRY,
  ENTRY_BYTES,
  ERROR_BYTES,
  HEADER,
  HEADER_BYTES,
  NO_KEY,
  Operator,
  OperatorFlag,
  RECOVERY_BYTES,
  typeOf,
  ValueNumber,
} from "./layout.ts";
import { explained, failure, quote, type Subject } from "./failures.ts";
import { ChangeFeed, EventFeed, Hub } from "./hub.ts";
import { StoreKey } from "./key.ts";
import { LabelNames } from "./labels.ts";
import { Namespace } from "./namespace.ts";
import type { Handle, Opened, Runtime } from "./native.ts";
import { decode, encode, Memory, NUMBER_BYTES, roundUp, Scratch, VALUE_AT } from "./scratch.ts";
import type { Store } from "./store.ts";
import type {
  BusHeaderSnapshot,
  Change,
  ChangesOptions,
  Channel,
  Entry,
  EpochCondition,
  Eviction,
  Key,
  KeyEntry,
  KeysOptions,
  LabelChange,
  NumberOptions,
  PollOptions,
  Recovery,
  SetOptions,
  SlotSnapshot,
  StoreValue,
  SumOptions,
  Unsubscribe,
  Watch,
  WatchEvent,
  WatchOptions,
  WatchPattern,
  WriteCondition,
  WriteResult,
} from "./types.ts";
import { once, Stream, subscribed } from "./watching.ts";

/** How much of a scan is fetched at once. */
const PAGE_BYTES = 8192;

/** How much of the values of a batch is fetched at once, unless one value is larger. */
const BATCH_BYTES = 65_536;

/** More entries than this are stored by several calls. */
const MAX_BATCH_BYTES = 1 << 28;

/** How often a value is looked at where it lies before it is copied. */
const MAX_LOOKS = 8;

/** What a sync does, for messages. */
const SYNC = "write the store to its disk";

const CLOSED = -ERROR_NUMBERS.CLOSED;
const IO = -ERROR_NUMBERS.IO;
const CONDITION_NOT_MET = -ERROR_NUMBERS.CONDITION_NOT_MET;
const VALUE_TOO_LARGE = -ERROR_NUMBERS.VALUE_TOO_LARGE;

/** Closes what nobody closed and nobody can reach any more. */
const abandoned = new FinalizationRegistry<Hub>((hub) => hub.close());

/** What a store object does besides what the native library does. */
export interface Settings {
  /** How long an update tries, in milliseconds. */
  readonly lockTimeoutMs: number;
  /** How often it sweeps, in milliseconds, if it does. */
  readonly sweepIntervalMs?: number;
  /** Whether the native library syncs it again and again. */
  readonly syncsAtIntervals: boolean;
}

/** An open store. */
export class OpenStore implements Store {
  readonly #runtime: Runtime;
  readonly #native: Opened;
  readonly #scratch: Scratch;
  readonly #header: DataView;
  readonly #maxValueSize: number;
  readonly #hub: Hub;
  readonly #lockTimeoutMs: number;
  readonly #syncsAtIntervals: boolean;
  #channels: Channels | undefined;
  // Made when they are first needed.
  #batch: Batch | undefined;
  #batchValues: Memory | undefined;
  #looked: Memory | undefined;
  // Closing makes it null, which native code answers with CLOSED: so no operation has to ask first.
  #handle: Handle | null;

  /** Takes charge of what the native library opened. */
  constructor(runtime: Runtime, native: Opened, handle: Handle, settings: Settings) {
    const { lockTimeoutMs, sweepIntervalMs, syncsAtIntervals } = settings;
    this.#runtime = runtime;
    this.#native = native;
    this.#handle = handle;
    const header = new Uint8Array(HEADER_BYTES);
    this.#header = new DataView(header.buffer);
    this.#hub = new Hub(runtime, native, handle, this.#header);
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#syncsAtIntervals = syncsAtIntervals;
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
    if (sweepIntervalMs !== undefined) this.#hub.startSweeping(sweepIntervalMs);
  }

  set(key: string, value: StoreValue, options: SetOptions & WriteCondition): WriteResult;
  set(key: string, value: StoreValue, options?: SetOptions): void;
  set(key: string, value: StoreValue, options?: SetOptions): WriteResult | void {
    if (options !== undefined) return this.#setWith(key, value, check.write(options));
    const scratch = this.#scratch;
    // Before the key is put down: toJSON() of a value may use this store too.
    const data = typeof value === "string" ? value : check.serialize(value);
    if (typeof data === "string") {
      const length = scratch.putText(data);
      if (length >= 0) {
        const keyLength = scratch.putKey(key);
        const type = typeof value === "string" ? ValueNumber.text : ValueNumber.json;
        const result = this.#native.spl_scratch_set_typed(this.#handle, keyLength, length, type);
        if (result < 0) throw this.#error(result, { key, size: length });
        return;
      }
    } else if (typeof data !== "bigint") {
      return this.#writeFrom(key, data, true);
    }
    this.#setWith(key, data, { flags: 0, type: typeOfValue(value) });
  }

  trySet(key: string, value: StoreValue): void {
    const scratch = this.#scratch;
    let data = check.serialize(value);
    const length = typeof data === "string" ? scratch.putText(data) : -1;
    if (length < 0) {
      if (typeof data === "string") data = encode(data);
      return this.#writeFrom(key, typeof data === "bigint" ? bytesOfNumber(data) : data, false);
    }
    const keyLength = scratch.putKey(key);
    const result = this.#native.spl_scratch_try_set(this.#handle, keyLength, length);
    if (result < 0) throw this.#error(result, { key, size: length });
  }

  unset(key: string, condition: EpochCondition): WriteResult;
  unset(key: string): number | null;
  unset(key: string, condition?: EpochCondition): WriteResult | number | null {
    if (condition !== undefined) return this.#unsetIf(key, check.epoch(condition.ifEpoch));
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

  list(maxKeys: number = 1000, options: KeysOptions = {}): string[] {
    const max = maxKeys === Infinity ? maxKeys : check.integer("maxKeys", maxKeys, 0, Number.MAX_SAFE_INTEGER);
    const keys: string[] = [];
    for (const key of this.keys(options)) {
      if (keys.length >= max) break;
      keys.push(key);
    }
    return keys;
  }

  keys(options: KeysOptions = {}): Generator<string, void, undefined> {
    return this.#scan(this.#prefix(options), this.#cursor(options), keyOf);
  }

  entries(options: KeysOptions = {}): Generator<[key: string, value: Uint8Array<ArrayBuffer>], void, undefined> {
    return this.#pairs(this.keys(options));
  }

  scan(options: KeysOptions = {}): Generator<KeyEntry, void, undefined> {
    return this.#scan(this.#prefix(options), this.#cursor(options), entryOf);
  }

  getEntry(key: string): Entry | null {
    const scratch = this.#scratch;
    const keyLength = scratch.putKey(key);
    const length = this.#native.spl_scratch_get_entry(this.#handle, keyLength);
    if (length >= 0 && length <= scratch.room) {
      // What is copied may share the memory of others; the results are overwritten by the next call.
      const value = this.#runtime.copyOut(scratch, VALUE_AT, length);
      return { value, epoch: scratch.longs[0], type: typeOf(scratch.words[layout.VERSION.value_type >> 2]) };
    }
    return this.#largeEntry(length, key, keyLength);
  }

  getMany(keys: Iterable<string>): (Uint8Array<ArrayBuffer> | null)[] {
    const batch = this.#packed();
    try {
      let count = 0;
      for (const key of keys) {
        batch.addKey(key);
        count++;
      }
      return this.#unpacked(batch, count);
    } finally {
      batch.clear();
      this.#batch = batch;
    }
  }

  /** Gets the values of the keys of a batch. */
  #unpacked(batch: Batch, count: number): (Uint8Array<ArrayBuffer> | null)[] {
    const memory = this.#batchValues ??= new Memory(BATCH_BYTES);
    const { bytes } = memory;
    const done = new Uint32Array(1);
    const doneBytes = new Uint8Array(done.buffer);
    const values: (Uint8Array<ArrayBuffer> | null)[] = [];
    // Once, unless the values do not fit.
    for (let from = 0; values.length < count;) {
      const result = this.#native.spl_get_many(
        this.#handle,
        from === 0 ? batch.bytes : batch.bytes.subarray(from, batch.length),
        batch.length - from,
        bytes,
        bytes.length,
        doneBytes,
      );
      if (result < 0) throw this.#error(result, this.#culprit(batch, count));
      for (let i = 0, at = 0; i < done[0]; i++) {
        const length = lengthAt(bytes, at);
        at += LENGTH_BYTES;
        if (length === layout.NO_VALUE) {
          values.push(null);
        } else {
          values.push(this.#runtime.copyOut(memory, at, length));
          at += length;
        }
      }
      if (values.length === count) break;
      for (let i = 0; i < done[0]; i++) from = batch.afterKey(from);
      if (done[0] > 0) continue;
      // One that is larger than the memory.
      values.push(this.getRaw(batch.keyAt(from)));
      from = batch.afterKey(from);
    }
    return values;
  }

  /** The first key of a batch that no store, or not this one, takes. */
  #culprit(batch: Batch, count: number): Subject {
    const max = this.#header.getUint32(HEADER.max_key_bytes, true);
    for (let i = 0, at = 0; i < count; i++) {
      const next = batch.afterKey(at);
      const key = batch.keyAt(at);
      if (key === "" || key.includes("\0") || next - at - LENGTH_BYTES > max) return { key };
      at = next;
    }
    return {};
  }

  setMany(entries: Iterable<readonly [key: string, value: StoreValue]>): void {
    const batch = this.#packed();
    let stored = 0;
    let count = 0;
    try {
      for (const entry of entries) {
        const data = check.serialize(entry[1]);
        batch.addEntry(entry[0], typeof data === "bigint" ? bytesOfNumber(data) : data);
        count++;
        if (batch.length > MAX_BATCH_BYTES) {
          this.#store(batch, stored);
          stored = count;
        }
      }
      if (count > stored) this.#store(batch, stored);
    } catch (error) {
      // What has no stored form, or is no key.
      if (error instanceof SplinterError && error.stored === undefined) {
        Object.defineProperty(error, "stored", { value: stored, enumerable: true });
      }
      throw error;
    } finally {
      batch.clear();
      this.#batch = batch;
    }
  }

  /** Sets the keys of a batch, before which others were set, and forgets them. */
  #store(batch: Batch, before: number): void {
    const done = new Uint32Array(1);
    const result = this.#native.spl_set_many(
      this.#handle,
      batch.bytes,
      batch.length,
      new Uint8Array(done.buffer),
    );
    if (result < 0) throw this.#error(result, { ...batch.entry(done[0]), stored: before + done[0] });
    batch.clear();
  }

  update(key: string, change: (value: Uint8Array<ArrayBuffer> | null) => StoreValue | undefined): bigint | null {
    if (typeof change !== "function") throw new InvalidArgumentError(`"change" must be a function`);
    let end: number | undefined;
    for (;;) {
      const entry = this.getEntry(key);
      const value = change(entry === null ? null : entry.value);
      if (value === undefined) return null;
      const result = this.set(key, value, { ifEpoch: entry === null ? null : entry.epoch, keepTtl: true });
      if (result.ok) return result.epoch;
      const now = performance.now();
      end ??= now + this.#lockTimeoutMs;
      if (now > end) throw this.#error(-ERROR_NUMBERS.BUSY, { key });
    }
  }

  append(key: string, data: string | Uint8Array): number {
    const scratch = this.#scratch;
    const native = this.#native;
    let size: number;
    let result: number;
    if (typeof data === "string" && (size = scratch.putText(data)) >= 0) {
      const keyLength = scratch.putKey(key);
      result = native.spl_scratch_append(this.#handle, keyLength, size);
    } else {
      const bytes = check.appendable(data);
      size = bytes.length;
      if (size > this.#maxValueSize) throw this.#error(this.opened ? VALUE_TOO_LARGE : CLOSED, { key, size });
      const keyLength = scratch.putKey(key);
      result = native.spl_scratch_append_from(this.#handle, keyLength, bytes, size);
    }
    if (result < 0) throw this.#error(result, { key, size });
    return result;
  }

  view<T>(key: string, look: (bytes: Uint8Array<ArrayBuffer>) => T): T | null {
    if (typeof look !== "function") throw new InvalidArgumentError(`"look" must be a function`);
    const native = this.#native;
    const hub = this.#hub;
    const { bytes, longs } = this.#looked ??= new Memory(layout.VIEW_BYTES);
    for (let i = 0; i < MAX_LOOKS; i++) {
      const keyLength = this.#scratch.putKey(key);
      const handle = this.#handle;
      if (this.#orNull(native.spl_view(handle, this.#scratch.key, keyLength, bytes), key) === null) return null;
      // The function may look at other values.
      const [address, length, state, slot] = longs;
      const seen = length === 0n ? null : this.#runtime.lookAt(address, Number(length));
      if (seen === null) break;
      const { buffer } = seen;
      let outcome: { value: T } | { error: unknown };
      let isGivenAway = false;
      let isWhole: number;
      // The function may close the store; the memory has to be there until it has returned.
      hub.hold();
      try {
        try {
          outcome = { value: look(seen) };
        } catch (error) {
          outcome = { error };
        }
        isGivenAway = buffer.detached;
        if (!isGivenAway) buffer.transfer(0);
        longs[2] = state;
        longs[3] = slot;
        isWhole = native.spl_view_is_whole(handle, bytes);
      } finally {
        hub.release();
      }
      if (isGivenAway) throw new InvalidArgumentError("The buffer of a value that is only looked at was transferred");
      if (this.#expect(isWhole, { key }) === 0) continue;
      if ("error" in outcome) throw outcome.error;
      return outcome.value;
    }
    const copy = this.getRaw(key)?.slice();
    if (copy === undefined) return null;
    try {
      return look(copy);
    } finally {
      if (!copy.buffer.detached) copy.buffer.transfer(0);
    }
  }

  key(key: string): Key {
    return this.keyNamed(key, key);
  }

  /**
   * {@linkcode Store.key} for a key that is called otherwise.
   *
   * @param key The key.
   * @param name What it is called.
   * @returns The object.
   */
  keyNamed(key: string, name: string): Key {
    const length = this.#scratch.putKey(key);
    return new StoreKey({
      runtime: this.#runtime,
      native: this.#native,
      scratch: this.#scratch,
      store: this,
      hub: this.#hub,
      maxValueSize: this.#maxValueSize,
    }, { key, name, keyLength: length });
  }

  namespace(prefix: string): Store {
    return new Namespace(this, check.prefix(prefix));
  }

  expire(key: string, ttlMs: number): boolean {
    const time = check.ttl(ttlMs);
    const length = this.#scratch.putKey(key);
    return this.#orNull(this.#native.spl_scratch_expire(this.#handle, length, BigInt(time)), key) !== null;
  }

  persist(key: string): boolean {
    const length = this.#scratch.putKey(key);
    return this.#orNull(this.#native.spl_scratch_persist(this.#handle, length), key) === 1;
  }

  ttl(key: string): number | null {
    const length = this.#scratch.putKey(key);
    const result = this.#native.spl_scratch_ttl(this.#handle, length);
    return this.#orNull(result, key) === null ? null : layout.timeLeft(this.#scratch.longs[0]);
  }

  sweep(): number {
    return this.#expect(this.#native.spl_sweep(this.#handle));
  }

  get eviction(): Eviction {
    return layout.evictionOf(this.#expect(this.#native.spl_eviction(this.#handle)));
  }

  set eviction(policy: Eviction) {
    this.#expect(this.#native.spl_set_eviction(this.#handle, check.eviction(policy)));
  }

  pin(key: string, pinned = true): boolean {
    if (typeof pinned !== "boolean") throw new InvalidArgumentError(`"pinned" must be true or false`);
    const length = this.#scratch.putKey(key);
    return this.#orNull(this.#native.spl_scratch_pin(this.#handle, length, pinned ? 1 : 0), key) !== null;
  }

  getBigInt(key: string): bigint | null {
    const scratch = this.#scratch;
    const keyLength = scratch.putKey(key);
    const length = this.#orNull(this.#native.spl_scratch_get_entry(this.#handle, keyLength), key);
    if (length === null) return null;
    if (length !== NUMBER_BYTES) throw this.#error(-ERROR_NUMBERS.WRONG_TYPE, { key });
    const number = scratch.longs[VALUE_AT >> 3];
    return scratch.words[layout.VERSION.value_type >> 2] === ValueNumber.bigint ? BigInt.asIntN(64, number) : number;
  }

  add(key: string, operand: bigint | number, options?: SumOptions): bigint {
    return this.#apply(key, Operator.add, operand, options);
  }

  sub(key: string, operand: bigint | number, options?: SumOptions): bigint {
    return this.#apply(key, Operator.sub, operand, options);
  }

  and(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#apply(key, Operator.and, operand, options);
  }

  or(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#apply(key, Operator.or, operand, options);
  }

  xor(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#apply(key, Operator.xor, operand, options);
  }

  not(key: string, options?: NumberOptions): bigint {
    return this.#apply(key, Operator.not, 0n, options);
  }

  label(key: string, { add = [], remove = [] }: LabelChange): (string | number)[] | null {
    const names = this.#labelNames();
    const added = names.mask(add);
    const removed = names.mask(remove);
    const scratch = this.#scratch;
    const length = scratch.putKey(key);
    scratch.longs[0] = added;
    scratch.longs[1] = removed;
    if (this.#orNull(this.#native.spl_scratch_label(this.#handle, length), key) === null) return null;
    return names.list(scratch.longs[0]);
  }

  labels(key: string): (string | number)[] | null {
    const names = this.#labelNames();
    const length = this.#scratch.putKey(key);
    if (this.#orNull(this.#native.spl_scratch_labels(this.#handle, length), key) === null) return null;
    return names.list(this.#scratch.longs[0]);
  }

  nameLabel(label: number, name: string): void {
    const number = check.integer("label", label, 0, layout.LABELS - 1);
    if (typeof name !== "string") throw new InvalidArgumentError(`"name" must be a string`);
    const bytes = encode(name);
    const result = this.#native.spl_name_label(this.#handle, number, bytes, bytes.length);
    if (result === -ERROR_NUMBERS.INVALID_ARGUMENT) {
      throw new InvalidArgumentError(
        `Label ${number} cannot be named ${quote(name)}: a name has at most 56 bytes, no NUL, and only one label`,
      );
    }
    this.#expect(result);
  }

  labelNames(): Map<number, string> {
    return this.#labelNames().read();
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
    const feed = new EventFeed(this.#hub, this, check.onlyKey(key), check.start({ values: false }), 0);
    return await once(feed, timeoutMs, signal, () => this.#error(CLOSED));
  }

  watch(pattern: WatchPattern, options: WatchOptions = {}): Watch {
    return new Stream(this.watching(pattern, options, ""));
  }

  /**
   * Starts a watch.
   *
   * @param pattern Which keys.
   * @param options How.
   * @param prefix What is before each of them, and not told.
   * @returns The watch.
   */
  watching(pattern: WatchPattern, options: WatchOptions, prefix: string): EventFeed {
    const { labels } = options;
    const start = check.start(options, labels === undefined ? undefined : this.#labelNames().mask(labels));
    return new EventFeed(this.#hub, this, check.pattern(pattern, prefix), start, prefix.length);
  }

  subscribe(pattern: WatchPattern, callback: (event: WatchEvent) => void, options: WatchOptions = {}): Unsubscribe {
    return subscribed(() => this.watching(pattern, options, ""), callback);
  }

  changes(options: ChangesOptions = {}): Watch<Change> {
    return this.changing(options, "");
  }

  /**
   * Follows the changes of the keys that begin with a prefix.
   *
   * @param options How.
   * @param prefix The prefix, which is not told.
   * @returns The changes.
   */
  changing(options: ChangesOptions, prefix: string): Watch<Change> {
    return new Stream(new ChangeFeed(this.#hub, this, check.start(options), prefix));
  }

  channel(name: string): Channel {
    return this.channelIn("", name);
  }

  /**
   * Opens a channel whose keys begin with a prefix.
   *
   * @param prefix The prefix.
   * @param name The name of the channel.
   * @returns One end of the channel.
   */
  channelIn(prefix: string, name: string): Channel {
    this.#channels ??= new Channels(this, this.#hub, this.#maxValueSize);
    return this.#channels.open(name, prefix);
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
    if (result < 0) throw this.#told(result, error, SYNC);
  }

  get syncFailure(): SplinterError | null {
    const error = new Uint8Array(ERROR_BYTES);
    const result = this.#native.spl_sync_failure(this.#handle, error);
    if (result === CLOSED) throw this.#error(result);
    return result < 0 ? explained(error, SYNC) : null;
  }

  get recovery(): Recovery | null {
    const bytes = new Uint8Array(RECOVERY_BYTES);
    const done = this.#expect(this.#native.spl_recovery(this.#handle, bytes));
    return done === 0 ? null : decodeRecovery(new DataView(bytes.buffer));
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
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    abandoned.unregister(this);
    const error = new Uint8Array(ERROR_BYTES);
    // What the thread has not synced yet would be synced by the closing, which cannot say in words what went wrong.
    const result = this.#syncsAtIntervals ? this.#native.spl_sync(handle, error) : 0;
    this.#hub.close();
    if (result < 0) throw explained(error, SYNC);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Sets a key to bytes, and leaves its type as it is. */
  #writeFrom(key: string, data: Uint8Array, wait: boolean): void {
    const native = this.#native;
    const size = data.length;
    // The native library would say so too, but takes a size of 32 bits.
    if (size > this.#maxValueSize) {
      throw this.#error(this.opened ? VALUE_TOO_LARGE : CLOSED, { key, size });
    }
    const keyLength = this.#scratch.putKey(key);
    const result = wait
      ? native.spl_scratch_set_from(this.#handle, keyLength, data, size)
      : native.spl_scratch_try_set_from(this.#handle, keyLength, data, size);
    if (result < 0) throw this.#error(result, { key, size });
  }

  /** Sets a key with options. Gives a result if there is a condition. */
  #setWith(key: string, value: StoreValue, { flags, epoch = 0n, ttlMs = 0, type }: check.Write): WriteResult | void {
    const native = this.#native;
    const scratch = this.#scratch;
    const { longs, words } = scratch;
    let data = check.serialize(value);
    let size: number;
    if (typeof data === "string" && (size = scratch.putText(data)) < 0) data = encode(data);
    else if (typeof data === "bigint") size = scratch.putNumber(data);
    if (data instanceof Uint8Array) {
      size = data.length;
      if (size > this.#maxValueSize) throw this.#error(this.opened ? VALUE_TOO_LARGE : CLOSED, { key, size });
    }
    const keyLength = scratch.putKey(key);
    type ??= typeOfValue(value);
    words[layout.SET_OPTIONS.size >> 2] = layout.SET_OPTIONS_BYTES;
    words[layout.SET_OPTIONS.flags >> 2] = type === undefined ? flags : flags | layout.SetFlag.type;
    longs[layout.SET_OPTIONS.epoch >> 3] = epoch;
    words[layout.SET_OPTIONS.ttl_ms >> 2] = ttlMs;
    words[(layout.SET_OPTIONS.ttl_ms >> 2) + 1] = ttlMs / 2 ** 32;
    words[layout.SET_OPTIONS.value_type >> 2] = type ?? 0;
    words[layout.SET_OPTIONS.reserved >> 2] = 0;
    const result = data instanceof Uint8Array
      ? native.spl_scratch_set_with_from(this.#handle, keyLength, data, size!)
      : native.spl_scratch_set_with(this.#handle, keyLength, size!);
    if (result < 0 && result !== CONDITION_NOT_MET) throw this.#error(result, { key, size: size! });
    if ((flags & check.CONDITIONS) !== 0) return this.#outcome(result);
  }

  #unsetIf(key: string, epoch: bigint): WriteResult {
    const length = this.#scratch.putKey(key);
    this.#scratch.longs[0] = epoch;
    const result = this.#native.spl_scratch_unset_if_epoch(this.#handle, length);
    if (result < 0 && result !== CONDITION_NOT_MET) throw this.#error(result, { key });
    return this.#outcome(result);
  }

  /** What became of a write on a condition. */
  #outcome(result: number): WriteResult {
    const epoch = this.#scratch.longs[0];
    if (result >= 0) return { ok: true, epoch };
    return { ok: false, epoch: epoch === 0n ? null : epoch };
  }

  #apply(key: string, operator: number, operand: bigint | number, { signed, checked }: SumOptions = {}): bigint {
    const scratch = this.#scratch;
    const isSigned = check.truth("signed", signed) === true;
    const number = check.operand(operand, isSigned);
    const length = scratch.putKey(key);
    scratch.longs[0] = number;
    const operation = operator |
      (isSigned ? OperatorFlag.signed : 0) |
      (check.truth("checked", checked) ? OperatorFlag.checked : 0);
    const result = this.#native.spl_scratch_apply(this.#handle, length, operation);
    if (result < 0) throw this.#error(result, { key, size: NUMBER_BYTES });
    return isSigned ? BigInt.asIntN(64, scratch.longs[0]) : scratch.longs[0];
  }

  /** Turns the result of a get that found nothing in the scratch to a value and what belongs to it. */
  #largeEntry(length: number, key: string, keyLength: number): Entry | null {
    const version = new Memory(layout.VERSION_BYTES);
    while (this.#orNull(length, key) !== null) {
      const buffer = new Uint8Array(length);
      length = this.#native.spl_get_entry(
        this.#handle,
        this.#scratch.key,
        keyLength,
        buffer,
        buffer.length,
        version.bytes,
      );
      if (length >= 0 && length <= buffer.length) {
        const type = typeOf(version.words[layout.VERSION.value_type >> 2]);
        return { value: buffer.subarray(0, length), epoch: version.longs[0], type };
      }
    }
    return null;
  }

  #packed(): Batch {
    const batch = this.#batch ?? new Batch();
    // Whoever gives keys and values may use the store meanwhile, and gets another.
    this.#batch = undefined;
    return batch;
  }

  #labelNames(): LabelNames {
    return new LabelNames((bytes) => this.#expect(this.#native.spl_label_names(this.#handle, bytes, bytes.length)));
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
    check.prefix(prefix);
    if (this.#handle === null) throw this.#error(CLOSED);
    return encode(prefix);
  }

  #cursor({ labels }: KeysOptions): Uint8Array {
    const cursor = new BigUint64Array(CURSOR_BYTES >> 3);
    if (labels !== undefined) cursor[layout.CURSOR.labels >> 3] = this.#labelNames().mask(labels);
    return new Uint8Array(cursor.buffer);
  }

  *#scan<T>(
    prefix: Uint8Array,
    cursor: Uint8Array,
    decoded: (page: Uint8Array, view: DataView, at: number) => T,
  ): Generator<T, void, undefined> {
    const page = new Uint8Array(PAGE_BYTES);
    const view = new DataView(page.buffer);
    for (;;) {
      const filled = this.#expect(
        this.#native.spl_scan(this.#handle, cursor, prefix, prefix.length, page, page.length),
      );
      if (filled === 0) return;
      for (let at = 0; at < filled;) {
        const next = roundUp(at + ENTRY_BYTES + view.getUint32(at + ENTRY.key_len, true));
        yield decoded(page, view, at);
        // The page outlives the store, but a closed store gives nothing.
        if (this.#handle === null) throw this.#error(CLOSED);
        at = next;
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
    // Of a write that was made, but is not on the disk, the system has said more.
    if (result === IO && subject.stored === undefined) {
      return this.syncFailure ?? failure(result, this.#header, subject);
    }
    return failure(result, this.#header, subject);
  }

  /** The error of a call that says more than its result. */
  #told(result: number, error: Uint8Array, task: string): SplinterError {
    return result === CLOSED ? this.#error(result) : explained(error, task);
  }
}

/** The type that follows from a value, if one does. */
function typeOfValue(value: StoreValue): number | undefined {
  if (typeof value === "string") return ValueNumber.text;
  if (typeof value === "bigint") return value < 0n ? ValueNumber.bigint : ValueNumber.biguint;
  return check.isBytes(value) ? undefined : ValueNumber.json;
}

function bytesOfNumber(number: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(number).buffer);
}

function keyOf(page: Uint8Array, view: DataView, at: number): string {
  const key = at + ENTRY_BYTES;
  return decode(page.subarray(key, key + view.getUint32(at + ENTRY.key_len, true)));
}

function entryOf(page: Uint8Array, view: DataView, at: number): KeyEntry {
  return {
    key: keyOf(page, view, at),
    epoch: view.getBigUint64(at + ENTRY.epoch, true),
    type: typeOf(view.getUint32(at + ENTRY.value_type, true)),
    size: view.getUint32(at + ENTRY.value_len, true),
    labels: view.getBigUint64(at + ENTRY.labels, true),
  };
}
