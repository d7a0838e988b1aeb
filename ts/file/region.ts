/**
 * A store's file, read while others may be writing it: the protocol of `rust/core/src/slot.rs` by reads of the file.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { constants } from "node:fs";
import { CorruptError, ERROR_NUMBERS, NotAStoreError } from "../errors.ts";
import { Access } from "./access.ts";
import {
  ATTRIBUTES,
  CHUNK,
  CHUNK_CELLS,
  Ctl,
  decodeIdentity,
  Descriptor,
  FLAG_AUTO_VACUUM,
  type Geometry,
  HEADER,
  IDENTITY_BYTES,
  LABEL,
  LAP_BITS,
  type Layout,
  layoutOf,
  SLOT,
} from "./format.ts";
import { xxh3 } from "./xxh3.ts";

/** Why a call failed, for the class that knows what it was about. */
export class Fault extends Error {
  /** The number of the error. */
  readonly number: number;

  /** Makes a fault of an error's number. */
  constructor(number: number) {
    super();
    this.number = number;
  }
}

/** How often a slot is looked at before the reader begins to give way. */
const QUICK_LOOKS = 32;

/** How many entries of the journal are read at once. */
const JOURNAL_BATCH = 64;

/** How often a name is looked at. */
const NAME_LOOKS = 64;

const nobody = new Int32Array(new SharedArrayBuffer(4));

/**
 * Sleeps.
 *
 * @param ms How long, in milliseconds.
 */
export function sleep(ms: number): void {
  Atomics.wait(nobody, 0, 0, ms);
}

/** The machine's clock, in ns since 1970. */
export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A live slot while it is looked at. What is taken from it is believed only if it was stable meanwhile. */
export interface View {
  /** Its number. */
  readonly slot: number;
  /** Its state. */
  readonly ctl: bigint;
  /** The descriptor of the buffer that holds the value. */
  readonly descriptor: bigint;
  /** How long the value is. */
  readonly valueBytes: number;
  /** The key, in memory that the next look uses again. */
  readonly key: Uint8Array;
}

/** A store's file that was checked. */
export class Region {
  /** Its bytes. */
  readonly file: Access;
  /** How large the store is. */
  readonly geometry: Geometry;
  /** Where everything is. */
  readonly layout: Layout;
  /** Drawn at random when the store was created. */
  readonly storeId: Uint8Array;

  readonly #seed: bigint;
  readonly #patienceMs: number;
  readonly #slot: Uint8Array;
  readonly #slotView: DataView;
  readonly #chunk = new Uint8Array(CHUNK.bytes);
  readonly #chunkView = new DataView(this.#chunk.buffer);

  /**
   * Opens a file and checks that it is a store.
   *
   * @param path Its path.
   * @param options Whether it is to be written, how long a reader tries, and what for.
   */
  constructor(
    path: string,
    { isWritable, patienceMs, task }: { isWritable: boolean; patienceMs: number; task: string },
  ) {
    this.file = new Access(path, isWritable ? constants.O_RDWR : constants.O_RDONLY, task);
    try {
      const { bytes, isFile } = this.file.stat();
      if (!isFile) throw new NotAStoreError(`Cannot ${task}: Not a store: it is not a regular file`);
      const start = new Uint8Array(IDENTITY_BYTES);
      const { geometry, storeId } = decodeIdentity(start.subarray(0, this.file.readSome(0, start)), bytes, task);
      this.geometry = geometry;
      this.storeId = storeId;
    } catch (error) {
      this.file[Symbol.dispose]();
      throw error;
    }
    this.layout = layoutOf(this.geometry);
    this.#seed = new DataView(this.storeId.buffer).getBigUint64(0, true);
    this.#patienceMs = patienceMs;
    this.#slot = new Uint8Array(this.layout.slotStride);
    this.#slotView = new DataView(this.#slot.buffer);
  }

  /** Whether replaced and deleted bytes are zeroed. */
  isSterile(): boolean {
    return (this.file.u32(HEADER.flags) & FLAG_AUTO_VACUUM) !== 0;
  }

  /**
   * Checks a key against the rules and the store's limit.
   *
   * @param key The key in UTF-8.
   */
  checkKey(key: Uint8Array): void {
    if (key.length === 0 || key.includes(0)) throw new Fault(ERROR_NUMBERS.KEY_INVALID);
    if (key.length > this.geometry.maxKeyBytes) throw new Fault(ERROR_NUMBERS.KEY_TOO_LONG);
  }

  /**
   * Tells where a key belongs.
   *
   * @param key The key in UTF-8.
   * @returns Its hash.
   */
  hash(key: Uint8Array): bigint {
    return xxh3(key, this.#seed);
  }

  /** The chunk of the index where a hash's keys begin. */
  home(hash: bigint): number {
    return Number((hash >> 32n) * BigInt(this.layout.chunks) >> 32n);
  }

  /** The chunk of the index where keys go on that have no room in another. */
  chunkBehind(chunk: number): number {
    return chunk + 1 === this.layout.chunks ? 0 : chunk + 1;
  }

  /** Where a chunk of the index is. */
  chunkAt(chunk: number): number {
    return this.layout.index + chunk * CHUNK.bytes;
  }

  /** Where a slot is. */
  slotAt(slot: number): number {
    return this.layout.slots + slot * this.layout.slotStride;
  }

  /** Where the attributes of a slot are. */
  attributesAt(slot: number): number {
    return this.layout.attributes + slot * ATTRIBUTES.bytes;
  }

  /** Where a buffer of a slot is. */
  valueAt(slot: number, buffer: 0 | 1): number {
    return this.layout.values + (slot * 2 + buffer) * this.layout.valueStride;
  }

  /** Where the journal's entry of a position is; positions go round. */
  entryAt(position: bigint): number {
    return this.layout.journal + Number(position & BigInt(this.geometry.journalEntries - 1)) * 8;
  }

  /** The low bits of what stands at a position of the journal once it is written. */
  lap(position: bigint): bigint {
    return BigInt.asUintN(LAP_BITS, position / BigInt(this.geometry.journalEntries) + 1n);
  }

  /** How many changes there ever were: the position that the next one gets. */
  journalEnd(): bigint {
    const { journalEntries } = this.geometry;
    const batch = new DataView(new ArrayBuffer(JOURNAL_BATCH * 8));
    let position = this.file.u64(HEADER.journalTail);
    for (let seen = 0; seen < journalEntries;) {
      // As many as there are before the ring begins anew.
      const place = Number(position & BigInt(journalEntries - 1));
      const count = Math.min(JOURNAL_BATCH, journalEntries - place, journalEntries - seen);
      this.file.read(this.entryAt(position), new Uint8Array(batch.buffer, 0, count * 8));
      for (let i = 0; i < count; i++, seen++, position = BigInt.asUintN(64, position + 1n)) {
        if (BigInt.asUintN(LAP_BITS, batch.getBigUint64(8 * i, true)) !== this.lap(position)) return position;
      }
    }
    return position;
  }

  /** The state of a slot, before or after anything else of it is read: by a call of its own, so that it is. */
  ctl(slot: number): bigint {
    return this.file.u64(this.slotAt(slot) + SLOT.ctl);
  }

  /** Looks at a slot whose state was read before. `null` if it holds no key. */
  look(slot: number, ctl: bigint): View | null {
    if ((ctl & Ctl.live) === 0n) return null;
    this.file.read(this.slotAt(slot), this.#slot);
    const descriptor = this.#slotView.getBigUint64(SLOT.descriptors + 8 * Ctl.buffer(ctl), true);
    // Any process may have written anything there; if it was stable, the caller finds out that it is no key.
    const keyBytes = Math.min(Descriptor.keyBytes(descriptor), this.#slot.length - SLOT.key);
    return {
      slot,
      ctl,
      descriptor,
      valueBytes: Descriptor.valueBytes(descriptor),
      key: this.#slot.subarray(SLOT.key, SLOT.key + keyBytes),
    };
  }

  /**
   * Finds the slot that holds a key. Neither waits nor decides: the state must be looked at again before what was read is
   * believed.
   *
   * @param hash The key's hash.
   * @param key The key in UTF-8.
   * @returns What it holds, or `null`.
   */
  find(hash: bigint, key: Uint8Array): View | null {
    const tag = tagOf(hash);
    let at = this.home(hash);
    for (let i = 0; i < this.layout.chunks; i++) {
      // A key that is there all the time has its tag, its cell and its counts there all the time, in whatever order they
      // are copied.
      this.file.read(this.chunkAt(at), this.#chunk);
      const hasMore = this.#chunkView.getUint32(CHUNK.overflow, true) !== 0;
      for (let cell = 0; cell < CHUNK_CELLS; cell++) {
        if (this.#chunk[CHUNK.tags + cell] !== tag) continue;
        const slot = this.#chunkView.getUint32(CHUNK.cells + 4 * cell, true) - 1;
        if (slot < 0 || slot >= this.geometry.slots) continue;
        const view = this.look(slot, this.ctl(slot));
        if (view !== null && view.key.length === key.length && Buffer.compare(view.key, key) === 0) return view;
      }
      if (!hasMore) return null;
      at = this.chunkBehind(at);
    }
    return null;
  }

  /** Whether the time of a value is up. */
  isExpired({ slot, ctl, descriptor }: View): boolean {
    return (descriptor & Descriptor.timed) !== 0n && this.deadline(slot, ctl) <= nowNs();
  }

  /** When the time of a value is up that has a deadline, in ns since 1970. */
  deadline(slot: number, ctl: bigint): bigint {
    return this.file.u64(this.attributesAt(slot) + ATTRIBUTES.deadlines + 8 * Ctl.buffer(ctl));
  }

  /**
   * Takes something of a key, in one whole state of it.
   *
   * @param key The key in UTF-8.
   * @param take Takes it; called again if others changed the key meanwhile.
   * @returns What was taken last, or `null` if there is no such key.
   */
  read<T>(key: Uint8Array, take: (view: View) => T): T | null {
    this.checkKey(key);
    const hash = this.hash(key);
    return this.#stable(() => this.find(hash, key), (view) => this.isExpired(view) ? null : take(view));
  }

  /**
   * Takes something of a slot, in one whole state of it.
   *
   * @param slot The slot.
   * @param take Takes it.
   * @returns What was taken last, or `null` if there is no key.
   */
  readSlot<T>(slot: number, take: (view: View) => T): T | null {
    return this.#stable(() => this.look(slot, this.ctl(slot)), take);
  }

  #stable<T>(look: () => View | null, take: (view: View) => T | null): T | null {
    const end = performance.now() + this.#patienceMs;
    for (let i = 0;; i++) {
      const view = look();
      if (view === null) return null;
      let taken: T | null = null;
      let failure: unknown;
      try {
        if (view.valueBytes > this.geometry.maxValueBytes || view.key.length > this.geometry.maxKeyBytes) {
          throw new CorruptError("The store contradicts itself: a slot has a length that this store cannot have");
        }
        taken = take(view);
      } catch (error) {
        failure = error;
      }
      if (Ctl.wasStable(view.ctl, this.ctl(view.slot))) {
        if (failure !== undefined) throw failure;
        return taken;
      }
      if (i < QUICK_LOOKS) continue;
      if (performance.now() > end) throw new Fault(ERROR_NUMBERS.BUSY);
      // A time that differs from look to look: one that did not could keep step with the writer.
      sleep(Math.random());
    }
  }

  /**
   * Copies the value of a slot.
   *
   * @param view The slot.
   * @param to Where to, with room for all of it.
   */
  copyValue({ slot, ctl, valueBytes }: View, to: Uint8Array): void {
    this.file.read(this.valueAt(slot, Ctl.buffer(ctl)), to.subarray(0, valueBytes));
  }

  /** The labels of a slot, one bit each. */
  labels(slot: number): bigint {
    return this.file.u64(this.attributesAt(slot) + ATTRIBUTES.labels);
  }

  /**
   * Reads the name of a label.
   *
   * @param label Its number.
   * @returns The name in UTF-8, or `null` if it has none.
   */
  labelName(label: number): Uint8Array | null {
    const record = LABEL.at + label * LABEL.bytes;
    const name = new Uint8Array(LABEL.nameRoom);
    for (let i = 0; i < NAME_LOOKS; i++) {
      const state = this.file.u64(record);
      const length = Number(state & 0xffn);
      if (length === 0 || length > LABEL.nameMax) return null;
      this.file.read(record + LABEL.nameAt + Number(state >> 8n & 1n) * LABEL.nameRoom, name);
      if (this.file.u64(record) === state) return isText(name.subarray(0, length)) ? name.subarray(0, length) : null;
    }
    return null;
  }
}

/** What stands in the index for a key of a hash. 0 is for none. */
export function tagOf(hash: bigint): number {
  return Math.max(Number(hash & 0xffn), 1);
}

/**
 * Tells whether bytes are UTF-8.
 *
 * @param bytes The bytes.
 * @returns Whether they are.
 */
export function isText(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}
