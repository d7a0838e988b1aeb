/**
 * What a store handle has for all its watches: one thread of the native library that waits, one socket on which it
 * rings, and the memory in which it delivers.
 *
 * @module
 */
import type { Socket } from "node:net";
import { clearImmediate, clearInterval, setImmediate, setInterval } from "node:timers";
import type { Pattern, Start } from "./arguments.ts";
import { ERROR_NUMBERS, type SplinterError } from "./errors.ts";
import { explained, failure, type Subject } from "./failures.ts";
import { CHANGE, CHANGE_BYTES, CHANGE_KINDS, ERROR_BYTES, HEADER, NO_VALUE, WatchFlag } from "./layout.ts";
import type { Handle, Opened, Runtime } from "./native.ts";
import { KEY_ROOM, MAX_VALUE_ROOM, Memory, roundUp } from "./scratch.ts";
import type { Change, KeyChange, WatchEvent } from "./types.ts";

/** How many watches are asked for at once. */
const MAX_READY = 256;

/** How long the event loop waits for its turn while there is ever more to deliver. */
const TURN_MS = 5;

/** The clock is read for one item in eight, since it can cost as much as half an item. */
const CLOCK_MASK = 7;

const CLOSED = -ERROR_NUMBERS.CLOSED;
const BUSY = -ERROR_NUMBERS.BUSY;

const KIND_AT = CHANGE.kind >> 2;
const KEY_LEN_AT = CHANGE.key_len >> 2;
const VALUE_LEN_AT = CHANGE.value_len >> 2;
const SEQ_AT = CHANGE.seq >> 3;
const EPOCH_AT = CHANGE.epoch >> 3;
const OFFSET_AT = CHANGE.offset >> 2;

/** Who has a key open, and does not use its handle any more once it is closed. */
export interface KeyHolder {
  /** Closes the key. Twice is harmless. */
  close(): void;
}

/**
 * The watches and keys of one store handle, and the handle itself, which it closes. It knows the store only while something is
 * watched: else a store that nobody can reach would never be found out.
 */
export class Hub {
  readonly #runtime: Runtime;
  readonly #native: Opened;
  readonly #header: DataView;
  #handle: Handle | null;
  // What is to be closed when nobody looks at its memory any more.
  #closing: Handle | null = null;

  // Made by the first watch.
  #socket: Socket | undefined;
  #memory: Memory | undefined;
  #ids: Uint32Array | undefined;
  #idBytes: Uint8Array | undefined;

  readonly #live = new Map<number, Feed<unknown>>();
  #owner: object | undefined;

  /** Those that have something to deliver and somebody to deliver it to. */
  readonly #due = new Set<Feed<unknown>>();
  #immediate: ReturnType<typeof setImmediate> | undefined;

  #sweeper: ReturnType<typeof setInterval> | undefined;
  /** The keys that are open, and who has them: not for ever, or a key that nobody can reach would never be found out. */
  readonly #keys = new Map<Handle, WeakRef<KeyHolder>>();
  /** How many look at the memory of the store just now. */
  #holders = 0;
  #turnEnd = 0;
  #served = 0;

  /**
   * Takes charge of a handle.
   *
   * @param runtime The runtime.
   * @param native The native library.
   * @param handle The handle.
   * @param header The `spl_header_snapshot` of the store, for messages.
   */
  constructor(runtime: Runtime, native: Opened, handle: Handle, header: DataView) {
    this.#runtime = runtime;
    this.#native = native;
    this.#handle = handle;
    this.#header = header;
  }

  /**
   * Starts a watch.
   *
   * @param feed Who gets what it delivers.
   * @param owner Whom the watch keeps alive.
   * @param pattern What to watch, or `null` for all changes.
   * @param start How to start.
   * @returns The number of the watch.
   */
  add(feed: Feed<unknown>, owner: object, pattern: Pattern | null, start: Start): number {
    const { flags } = start;
    if (this.#handle === null) throw failure(CLOSED, this.#header, {});
    const error = new Uint8Array(ERROR_BYTES);
    const from = new Uint8Array(BigUint64Array.of(start.from, start.labels).buffer);
    const socket = this.#socket ??= this.#connect(error);
    const id = pattern === null
      ? this.#native.spl_changes(this.#handle, flags & WatchFlag.from, from, error)
      : this.#native.spl_watch(
        this.#handle,
        pattern.kind,
        pattern.bytes,
        pattern.bytes.length,
        flags,
        from,
        error,
      );
    if (id < 0) throw explained(error, `watch ${pattern === null ? "all changes" : pattern.shown}`);
    if (this.#live.size === 0) {
      this.#owner = owner;
      socket.ref();
    }
    this.#live.set(id, feed);
    return id;
  }

  /**
   * Ends a watch.
   *
   * @param feed Who had it.
   * @param id Its number.
   */
  remove(feed: Feed<unknown>, id: number): void {
    this.#live.delete(id);
    this.#due.delete(feed);
    this.#native.spl_unwatch(this.#handle, id);
    if (this.#live.size > 0) return;
    this.#owner = undefined;
    this.#socket?.unref();
    if (this.#immediate === undefined) return;
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
  }

  /** Ends all watches, and closes the handle. */
  close(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    this.#endAll();
    clearInterval(this.#sweeper);
    // Those that nobody can reach any more are closed as such.
    for (const holder of this.#keys.values()) holder.deref()?.close();
    this.#closing = handle;
    if (this.#holders === 0) this.#finish();
    this.#socket?.destroy();
  }

  #finish(): void {
    const handle = this.#closing;
    this.#closing = null;
    if (handle !== null) this.#native.spl_close(handle);
  }

  /** Keeps the memory of the store where it is, though the handle be closed, until it is released. */
  hold(): void {
    this.#holders++;
  }

  /** Ends what {@linkcode Hub.hold} began. */
  release(): void {
    if (--this.#holders === 0) this.#finish();
  }

  /**
   * Prepares a key.
   *
   * @param holder Who has it, and is closed with the store.
   * @param key The memory in which it is, in UTF-8, at the start.
   * @param length Its length in bytes.
   * @param task What it is for, for a message.
   * @returns The key.
   */
  openKey(holder: KeyHolder, key: Uint8Array, length: number, task: string): Handle {
    if (this.#handle === null) throw failure(CLOSED, this.#header, {});
    const error = new Uint8Array(ERROR_BYTES);
    const handle = this.#native.spl_key(this.#handle, key, length, error);
    if (handle === null) throw explained(error, task);
    this.#keys.set(handle, new WeakRef(holder));
    return handle;
  }

  /**
   * Closes a key.
   *
   * @param key The key, which nobody uses any more.
   */
  closeKey(key: Handle): void {
    this.#keys.delete(key);
    this.#native.spl_key_close(key);
  }

  /**
   * Deletes what has run out of time, again and again.
   *
   * @param intervalMs How often, in milliseconds.
   */
  startSweeping(intervalMs: number): void {
    this.#sweeper = setInterval(() => {
      const result = this.#native.spl_sweep(this.#handle);
      // Somebody else may be at it.
      if (result >= 0 || result === BUSY) return;
      clearInterval(this.#sweeper);
      reportError(failure(result, this.#header, {}));
    }, intervalMs);
    this.#sweeper.unref();
  }

  /**
   * Makes the error for a call that failed.
   *
   * @param result What the call returned.
   * @param subject What the call was about.
   * @returns The error.
   */
  error(result: number, subject: Subject): SplinterError {
    return failure(result, this.#header, subject);
  }

  #endAll(error?: SplinterError): void {
    for (const feed of this.#live.values()) feed.end(error);
  }

  /**
   * Tells the number of the handle, which no other living handle of the store has.
   *
   * @returns The number.
   */
  handleId(): number {
    const id = this.#native.spl_handle_id(this.#handle);
    if (id < 0) throw failure(id, this.#header, {});
    return id;
  }

  /**
   * Fetches what a watch has to deliver.
   *
   * @param id Its number.
   * @returns The memory with the one record at its start, or `null` if there is none.
   */
  fetch(id: number): Memory | null {
    let memory = this.#memory ??= this.#allocate();
    for (;;) {
      const filled = this.fill(id, memory);
      if (filled === 0) return null;
      if (filled <= memory.bytes.length) return memory;
      memory = new Memory(filled);
    }
  }

  /**
   * Fetches as much as fits of what a watch has to deliver.
   *
   * @param id Its number.
   * @param memory Where to.
   * @returns How many bytes were filled; or a greater number than fits, if not even the first record does.
   */
  fill(id: number, memory: Memory): number {
    const { bytes } = memory;
    const filled = this.#native.spl_next(this.#handle, id, bytes, bytes.length);
    if (filled < 0) throw failure(filled, this.#header, {});
    return filled;
  }

  /**
   * Copies a value.
   *
   * @param memory Where it is.
   * @param at Where in it.
   * @param length Its length in bytes.
   * @returns The bytes, which nobody else has.
   */
  copyOut(memory: Memory, at: number, length: number): Uint8Array<ArrayBuffer> {
    // Made for this one record, and as good as a copy.
    if (memory !== this.#memory) return memory.bytes.subarray(at, at + length);
    return this.#runtime.copyOut(memory, at, length);
  }

  /** Whether the event loop should have its turn before more is delivered. To be asked before each item. */
  isTired(): boolean {
    return (++this.#served & CLOCK_MASK) === 0 && performance.now() > this.#turnEnd;
  }

  /**
   * Has a feed serve its reader after the event loop has had its turn.
   *
   * @param feed The feed.
   */
  postpone(feed: Feed<unknown>): void {
    this.#due.add(feed);
    this.#immediate ??= setImmediate(() => {
      this.#immediate = undefined;
      this.#serve();
    });
  }

  #allocate(): Memory {
    const maxValue = this.#header.getUint32(HEADER.max_value_bytes, true);
    return new Memory(CHANGE_BYTES + KEY_ROOM + roundUp(Math.min(maxValue, MAX_VALUE_ROOM)));
  }

  #connect(error: Uint8Array): Socket {
    const descriptor = this.#native.spl_selector(this.#handle, error);
    if (descriptor < 0) throw explained(error, "start to watch");
    this.#ids = new Uint32Array(MAX_READY);
    this.#idBytes = new Uint8Array(this.#ids.buffer);
    const socket = this.#runtime.adopt(descriptor);
    socket.on("data", () => this.#ring());
    // Nobody sends anything else, and an end of it is an end of the handle.
    socket.on("error", () => {});
    return socket.unref();
  }

  /** Asks which watches are ready, and has them served. */
  #ring(): void {
    const ids = this.#ids!;
    let count: number;
    do {
      count = this.#native.spl_ready(this.#handle, this.#idBytes!, MAX_READY);
      for (let i = 0; i < count; i++) {
        const feed = this.#live.get(ids[i]);
        if (feed === undefined) continue;
        feed.isReady = true;
        this.#due.add(feed);
      }
    } while (count === MAX_READY);
    // The thread has given up, such as for damage to the store. A handle that was closed has no watches any more.
    if (count < 0) this.#endAll(failure(count, this.#header, {}));
    // Not here: where a callback throws within that of a socket, one runtime says "null" instead of the error.
    queueMicrotask(() => this.#serve());
  }

  #serve(): void {
    this.#turnEnd = performance.now() + TURN_MS;
    // Who is served may add and remove others.
    for (const feed of this.#due) {
      this.#due.delete(feed);
      feed.reader.serve();
      // It was interrupted, and comes last next time.
      if (this.#due.has(feed)) break;
    }
  }
}

/** Who gets what a feed delivers. */
export interface Reader {
  /** Takes what is ready; if the hub gets tired, it postpones the rest. */
  serve(): void;

  /** Hears that nothing will come any more, for a reason if it is not that nothing is wanted. */
  end(error?: SplinterError): void;
}

const NOBODY: Reader = { serve() {}, end() {} };

/** One watch of the native library, or one reader of all changes. */
export abstract class Feed<T> {
  /** Where it comes from. */
  readonly hub: Hub;
  /** Its number. */
  protected readonly id: number;
  /** Who gets it. */
  reader: Reader = NOBODY;
  /** Whether there may be something to take. If not, the hub will hear when there is. */
  isReady = true;
  /** Whether it has ended. */
  isOver = false;

  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.end();

  /**
   * Starts the watch.
   *
   * @param hub Where it comes from.
   * @param owner Whom it keeps alive.
   * @param pattern What to watch, or `null` for all changes.
   * @param start How to start, and what ends it.
   */
  constructor(hub: Hub, owner: object, pattern: Pattern | null, start: Start) {
    this.hub = hub;
    this.id = hub.add(this, owner, pattern, start);
    this.#signal = start.signal;
    if (this.#signal?.aborted) this.end();
    else this.#signal?.addEventListener("abort", this.#abort);
  }

  /**
   * Takes the next item.
   *
   * @returns The item, or `undefined` if there is none now, or never again.
   */
  take(): T | undefined {
    if (this.isOver) return undefined;
    try {
      const item = this.next();
      if (item === undefined) this.isReady = false;
      return item;
    } catch (error) {
      this.end(error as SplinterError);
      return undefined;
    }
  }

  /** Fetches and decodes the next item, if there is one. */
  protected abstract next(): T | undefined;

  /**
   * Ends the watch. Twice is harmless.
   *
   * @param error Why, if nobody wants it to end.
   */
  end(error?: SplinterError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.hub.remove(this, this.id);
    this.#signal?.removeEventListener("abort", this.#abort);
    this.reader.end(error);
  }
}

/** Delivers the events of some keys. */
export class EventFeed extends Feed<WatchEvent> {
  readonly #key: string | undefined;
  readonly #skipped: number;

  /** Starts the watch. So many characters of each key are not told. */
  constructor(hub: Hub, owner: object, pattern: Pattern, start: Start, skipped: number) {
    super(hub, owner, pattern, start);
    this.#key = pattern.key?.slice(skipped);
    this.#skipped = skipped;
  }

  protected override next(): WatchEvent | undefined {
    const memory = this.hub.fetch(this.id);
    if (memory === null) return undefined;
    const { words, longs } = memory;
    const keyLength = words[KEY_LEN_AT];
    const valueLength = words[VALUE_LEN_AT];
    return {
      key: this.#key ?? this.#keyIn(memory, keyLength),
      epoch: longs[EPOCH_AT],
      seq: longs[SEQ_AT],
      kind: CHANGE_KINDS[words[KIND_AT]] as WatchEvent["kind"],
      offset: words[OFFSET_AT],
      value: valueLength === NO_VALUE ? null : this.hub.copyOut(memory, CHANGE_BYTES + roundUp(keyLength), valueLength),
    };
  }

  #keyIn(memory: Memory, length: number): string {
    const key = memory.text(CHANGE_BYTES, length);
    return this.#skipped === 0 ? key : key.slice(this.#skipped);
  }
}

/** A record with a value, which is there until the next one is fetched. */
export interface ValueRecord {
  /** The memory that it is in. */
  readonly memory: Memory;
  /** The key. */
  readonly key: string;
  /** Where the value begins. */
  readonly at: number;
  /** The length of the value in bytes. */
  readonly length: number;
}

/** Delivers the values of some keys as they stand in memory. */
export class ValueFeed extends Feed<ValueRecord> {
  protected override next(): ValueRecord | undefined {
    const memory = this.hub.fetch(this.id);
    if (memory === null) return undefined;
    const { words } = memory;
    const keyLength = words[KEY_LEN_AT];
    return {
      memory,
      key: memory.text(CHANGE_BYTES, keyLength),
      at: CHANGE_BYTES + roundUp(keyLength),
      length: Math.max(words[VALUE_LEN_AT], 0),
    };
  }
}

/** How many bytes of changes are fetched at once. */
const PAGE_BYTES = 8192;

/** Delivers all changes. */
export class ChangeFeed extends Feed<Change> {
  // Its own, since many changes are fetched at once.
  readonly #page = new Memory(PAGE_BYTES);
  #at = 0;
  #end = 0;
  readonly #prefix: string;

  /** Starts to read, of the keys that begin with a prefix, which is not told. */
  constructor(hub: Hub, owner: object, start: Start, prefix: string) {
    super(hub, owner, null, start);
    this.#prefix = prefix;
  }

  protected override next(): Change | undefined {
    const prefix = this.#prefix;
    for (;;) {
      const change = this.#any();
      if (prefix === "" || change === undefined || !("key" in change)) return change;
      if (change.key.startsWith(prefix)) return { ...change, key: change.key.slice(prefix.length) };
    }
  }

  #any(): Change | undefined {
    if (this.#at === this.#end) {
      this.#at = 0;
      this.#end = this.hub.fill(this.id, this.#page);
      if (this.#end === 0) return undefined;
    }
    const at = this.#at;
    const { words, longs } = this.#page;
    const keyLength = words[(at >> 2) + KEY_LEN_AT];
    this.#at = at + CHANGE_BYTES + roundUp(keyLength);
    const seq = longs[(at >> 3) + SEQ_AT];
    const kind = CHANGE_KINDS[words[(at >> 2) + KIND_AT]];
    switch (kind) {
      case "vanished":
        return { kind, seq };
      case "lost":
        return { kind, seq, count: longs[(at >> 3) + EPOCH_AT] };
      default:
        return {
          kind: kind as KeyChange["kind"],
          seq,
          key: this.#page.text(at + CHANGE_BYTES, keyLength),
          epoch: longs[(at >> 3) + EPOCH_AT],
        };
    }
  }
}
