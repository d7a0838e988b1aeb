/**
 * The keys of a store that begin alike, under what comes behind.
 *
 * @module
 */
import * as check from "./arguments.ts";
import type { SplinterError } from "./errors.ts";
import type { OpenStore } from "./open_store.ts";
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
import { Stream, subscribed } from "./watching.ts";

/** A part of a store, in the shape of a whole one. */
export class Namespace implements Store {
  readonly #store: OpenStore;
  readonly #prefix: string;

  /**
   * Makes a namespace.
   *
   * @param store The whole store.
   * @param prefix What the keys begin with.
   */
  constructor(store: OpenStore, prefix: string) {
    this.#store = store;
    this.#prefix = prefix;
  }

  /** The full name of a key. */
  #full(key: string): string {
    // What is no string is an error of the store's, not a text.
    return typeof key === "string" ? this.#prefix + key : key;
  }

  #within(options: KeysOptions): KeysOptions {
    return { ...options, prefix: this.#prefix + check.prefix(options.prefix ?? "") };
  }

  set(key: string, value: StoreValue, options: SetOptions & WriteCondition): WriteResult;
  set(key: string, value: StoreValue, options?: SetOptions): void;
  set(key: string, value: StoreValue, options?: SetOptions): WriteResult | void {
    return this.#store.set(this.#full(key), value, options);
  }

  unset(key: string, condition: EpochCondition): WriteResult;
  unset(key: string): number | null;
  unset(key: string, condition?: EpochCondition): WriteResult | number | null {
    const full = this.#full(key);
    return condition === undefined ? this.#store.unset(full) : this.#store.unset(full, condition);
  }

  getMany(keys: Iterable<string>): (Uint8Array<ArrayBuffer> | null)[] {
    return this.#store.getMany(Array.from(keys, (key) => this.#full(key)));
  }

  setMany(entries: Iterable<readonly [key: string, value: StoreValue]>): void {
    this.#store.setMany(this.#fullEntries(entries));
  }

  *#fullEntries(
    entries: Iterable<readonly [key: string, value: StoreValue]>,
  ): Generator<readonly [key: string, value: StoreValue]> {
    for (const [key, value] of entries) yield [this.#full(key), value];
  }

  key(key: string): Key {
    return this.#store.keyNamed(this.#full(key), key);
  }

  namespace(prefix: string): Store {
    return this.#store.namespace(this.#prefix + check.prefix(prefix));
  }

  list(maxKeys?: number, options: KeysOptions = {}): string[] {
    return this.#store.list(maxKeys, this.#within(options)).map((key) => key.slice(this.#prefix.length));
  }

  keys(options: KeysOptions = {}): Generator<string, void, undefined> {
    return this.#mapped(this.#store.keys(this.#within(options)), (key) => key.slice(this.#prefix.length));
  }

  entries(options: KeysOptions = {}): Generator<[key: string, value: Uint8Array<ArrayBuffer>], void, undefined> {
    const entries = this.#store.entries(this.#within(options));
    return this.#mapped(entries, ([key, value]) => [key.slice(this.#prefix.length), value]);
  }

  scan(options: KeysOptions = {}): Generator<KeyEntry, void, undefined> {
    const entries = this.#store.scan(this.#within(options));
    return this.#mapped(entries, (entry) => ({ ...entry, key: entry.key.slice(this.#prefix.length) }));
  }

  *#mapped<T, U>(items: Iterable<T>, map: (item: T) => U): Generator<U, void, undefined> {
    for (const item of items) yield map(item);
  }

  getSlotSnapshot(key: string): SlotSnapshot | null {
    const slot = this.#store.getSlotSnapshot(this.#full(key));
    return slot && { ...slot, key };
  }

  watch(pattern: WatchPattern, options: WatchOptions = {}): Watch {
    return new Stream(this.#store.watching(pattern, options, this.#prefix));
  }

  subscribe(pattern: WatchPattern, callback: (event: WatchEvent) => void, options: WatchOptions = {}): Unsubscribe {
    return subscribed(() => this.#store.watching(pattern, options, this.#prefix), callback);
  }

  changes(options: ChangesOptions = {}): Watch<Change> {
    return this.#store.changing(options, this.#prefix);
  }

  channel(name: string): Channel {
    return this.#store.channelIn(this.#prefix, name);
  }

  get eviction(): Eviction {
    return this.#store.eviction;
  }

  set eviction(policy: Eviction) {
    this.#store.eviction = policy;
  }

  get autoVacuum(): boolean {
    return this.#store.autoVacuum;
  }

  set autoVacuum(on: boolean) {
    this.#store.autoVacuum = on;
  }

  get recovery(): Recovery | null {
    return this.#store.recovery;
  }

  get syncFailure(): SplinterError | null {
    return this.#store.syncFailure;
  }

  get path(): string {
    return this.#store.path;
  }

  get opened(): boolean {
    return this.#store.opened;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  trySet(key: string, value: StoreValue): void {
    return this.#store.trySet(this.#full(key), value);
  }

  tryUnset(key: string): number | null {
    return this.#store.tryUnset(this.#full(key));
  }

  getRaw(key: string): Uint8Array<ArrayBuffer> | null {
    return this.#store.getRaw(this.#full(key));
  }

  get(key: string): Uint8Array<ArrayBuffer> | null {
    return this.#store.get(this.#full(key));
  }

  getInto(key: string, buffer: Uint8Array): number | null {
    return this.#store.getInto(this.#full(key), buffer);
  }

  getEntry(key: string): Entry | null {
    return this.#store.getEntry(this.#full(key));
  }

  getString(key: string): string | null {
    return this.#store.getString(this.#full(key));
  }

  has(key: string): boolean {
    return this.#store.has(this.#full(key));
  }

  epoch(key: string): bigint | null {
    return this.#store.epoch(this.#full(key));
  }

  update(key: string, change: (value: Uint8Array<ArrayBuffer> | null) => StoreValue | undefined): bigint | null {
    return this.#store.update(this.#full(key), change);
  }

  append(key: string, data: string | Uint8Array): number {
    return this.#store.append(this.#full(key), data);
  }

  expire(key: string, ttlMs: number): boolean {
    return this.#store.expire(this.#full(key), ttlMs);
  }

  persist(key: string): boolean {
    return this.#store.persist(this.#full(key));
  }

  ttl(key: string): number | null {
    return this.#store.ttl(this.#full(key));
  }

  pin(key: string, pinned?: boolean): boolean {
    return this.#store.pin(this.#full(key), pinned);
  }

  getBigInt(key: string): bigint | null {
    return this.#store.getBigInt(this.#full(key));
  }

  add(key: string, operand: bigint | number, options?: SumOptions): bigint {
    return this.#store.add(this.#full(key), operand, options);
  }

  sub(key: string, operand: bigint | number, options?: SumOptions): bigint {
    return this.#store.sub(this.#full(key), operand, options);
  }

  and(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#store.and(this.#full(key), operand, options);
  }

  or(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#store.or(this.#full(key), operand, options);
  }

  xor(key: string, operand: bigint | number, options?: NumberOptions): bigint {
    return this.#store.xor(this.#full(key), operand, options);
  }

  not(key: string, options?: NumberOptions): bigint {
    return this.#store.not(this.#full(key), options);
  }

  label(key: string, change: LabelChange): (string | number)[] | null {
    return this.#store.label(this.#full(key), change);
  }

  labels(key: string): (string | number)[] | null {
    return this.#store.labels(this.#full(key));
  }

  poll(key: string, timeoutMs: number): boolean {
    return this.#store.poll(this.#full(key), timeoutMs);
  }

  pollAsync(key: string, options?: PollOptions): Promise<boolean> {
    return this.#store.pollAsync(this.#full(key), options);
  }

  getJSON<T = unknown>(key: string): T | null {
    return this.#store.getJSON(this.#full(key));
  }

  view<T>(key: string, look: (bytes: Uint8Array<ArrayBuffer>) => T): T | null {
    return this.#store.view(this.#full(key), look);
  }

  sweep(): number {
    return this.#store.sweep();
  }

  nameLabel(label: number, name: string): void {
    return this.#store.nameLabel(label, name);
  }

  labelNames(): Map<number, string> {
    return this.#store.labelNames();
  }

  getBusHeaderSnapshot(): BusHeaderSnapshot {
    return this.#store.getBusHeaderSnapshot();
  }

  getAV(): 0 | 1 {
    return this.#store.getAV();
  }

  setAV(on: 0 | 1): void {
    return this.#store.setAV(on);
  }

  sync(): void {
    return this.#store.sync();
  }

  backup(path: string | URL): void {
    return this.#store.backup(path);
  }

  close(): void {
    return this.#store.close();
  }
}
