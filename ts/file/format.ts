/**
 * Every byte of a store's file, as `rust/core/src/layout.rs` declares it. All numbers are little-endian.
 *
 * @module
 */
import { CorruptError, IncompatibleError, InvalidArgumentError, NotAStoreError } from "../errors.ts";
import { xxh3 } from "./xxh3.ts";

const MAGIC = 0x424c_5053;
const FORMAT_VERSION = 1;

const LINE_BYTES = 64;
const PAGE_BYTES = 4096;

/** Offsets in the header. */
export const HEADER = {
  storeId: 40,
  flags: 128,
  eviction: 132,
  bootId: 136,
  births: 192,
  epochFloor: 200,
  incarnations: 208,
  freeHint: 216,
  recount: 220,
  nextDeadline: 224,
  hand: 232,
  sweeper: 240,
  journalTail: 256,
  parseFailures: 384,
  lastFailureEpoch: 392,
  repairs: 400,
} as const;

/** `HEADER.flags`: replaced and deleted bytes are zeroed. */
export const FLAG_AUTO_VACUUM = 1;
/** `HEADER.flags`: there is a checkpoint, or was one; writes leave checksums of the values. */
export const FLAG_CHECKSUMS = 2;

/** Where the names of labels are, how long one's record is, and where each of its two names begins. */
export const LABEL = { at: PAGE_BYTES, bytes: 128, nameAt: 8, nameRoom: 56, nameMax: 56 } as const;
const LABELS = 64;

/** Offsets in the record of a handle. */
export const HANDLE = { incarnation: 0, pid: 8, watches: 12, startTime: 16, bytes: 64 } as const;
/** How many handles can be attached. */
export const HANDLES = 1024;
/** How many locks the inserters and deleters of the index share, each on a line of its own. */
export const STRIPES = 256;
/** The size of such a lock. */
export const STRIPE_BYTES = 64;

/** Offsets in a chunk of the index: tags, the overflow count, slot numbers plus one. */
export const CHUNK = { tags: 0, overflow: 12, cells: 16, bytes: 64 } as const;
/** Entries of a chunk. */
export const CHUNK_CELLS = 12;
const CHUNK_KEYS = 6;

/** Offsets in a slot. */
export const SLOT = { ctl: 0, lock: 8, descriptors: 16, pending: 32, waiters: 36, key: 40 } as const;

/** Offsets in the attributes of a slot. */
export const ATTRIBUTES = {
  hash: 0,
  birth: 8,
  deadlines: 16,
  labels: 32,
  checksums: 40,
  inserted: 48,
  appendedTo: 56,
  bytes: 64,
} as const;

const VALUE_CHUNK_BYTES = 256 * 1024;

/** Bits of a journal's entry: the lap, the kind of change, low bits of the sequence, the slot. */
export const LAP_BITS = 7;
const KIND_BITS = 3;
const SEQUENCE_BITS = 28;
const SEQUENCE_SHIFT = 3;
const INDEX_BITS = 16;

/** What happened to a key, as the journal numbers it. */
export const Change = { insert: 1, update: 2, unset: 3, expire: 4, append: 5, evict: 6, attributes: 7 } as const;

const MASK = 2n ** 64n - 1n;

/** A number that changes with any of the sizes above. */
const FINGERPRINT = [
  PAGE_BYTES,
  HEADER.births,
  HEADER.journalTail,
  512, // where the words begin on which those sleep who wait for an absent key
  128, // how many there are
  LABELS * LABEL.bytes,
  HANDLE.bytes,
  HANDLES,
  STRIPE_BYTES,
  STRIPES,
  CHUNK.bytes,
  CHUNK_CELLS,
  CHUNK_KEYS,
  SLOT.key,
  ATTRIBUTES.bytes,
  ATTRIBUTES.appendedTo,
  HEADER.nextDeadline,
  8,
  VALUE_CHUNK_BYTES,
  LAP_BITS,
  SEQUENCE_BITS,
  SEQUENCE_SHIFT,
  INDEX_BITS,
].reduce((hash, fact) => ((hash ^ BigInt(fact)) * 0x0000_0100_0000_01b3n) & MASK, 0xcbf2_9ce4_8422_2325n);

/** How large a store is: chosen when it is created. */
export interface Geometry {
  /** How many keys fit. */
  readonly slots: number;
  /** The longest key in bytes. */
  readonly maxKeyBytes: number;
  /** The largest value in bytes. */
  readonly maxValueBytes: number;
  /** How many changes the journal remembers: a power of two. */
  readonly journalEntries: number;
}

/** The limits of each number of a geometry. */
const LIMITS: Record<keyof Geometry, readonly [least: number, most: number]> = {
  slots: [1, 2 ** 26],
  maxKeyBytes: [1, 1024],
  maxValueBytes: [1, 2 ** 30],
  journalEntries: [64, 2 ** 24],
};

/**
 * Makes a geometry of what was asked for, as the native library does.
 *
 * @param asked What was asked for.
 * @returns All of it.
 */
export function geometryOf(asked: Partial<Geometry>): Geometry {
  const { slots = 1024, maxKeyBytes = 64, maxValueBytes = 4096, journalEntries } = asked;
  const remembered = journalEntries === undefined
    ? Math.min(Math.max(powerOfTwo(4 * slots), 4096), 2 ** 20)
    : powerOfTwo(Math.max(journalEntries, LIMITS.journalEntries[0]));
  const geometry = { slots, maxKeyBytes, maxValueBytes, journalEntries: remembered };
  if (!isWithinLimits(geometry)) throw new InvalidArgumentError("No store can have such a shape");
  return geometry;
}

function powerOfTwo(number: number): number {
  return 2 ** Math.ceil(Math.log2(number));
}

function isWithinLimits(geometry: Geometry): boolean {
  return Object.entries(LIMITS).every(([name, [least, most]]) => {
    const number = geometry[name as keyof Geometry];
    return number >= least && number <= most;
  });
}

/** Where each part of a store begins, and how it is divided. */
export interface Layout {
  /** Where the handles are. */
  readonly handles: number;
  /** Where the locks of the index are. */
  readonly stripes: number;
  /** Where the map of free slots is. */
  readonly free: number;
  /** How many words of 64 bits it has. */
  readonly freeWords: number;
  /** Where it is noted which chunks of values have space. */
  readonly reserved: number;
  /** Where the index is. */
  readonly index: number;
  /** How many chunks it has. */
  readonly chunks: number;
  /** Where the slots are. */
  readonly slots: number;
  /** The size of a slot. */
  readonly slotStride: number;
  /** Where the attributes of the slots are. */
  readonly attributes: number;
  /** Where the journal is. */
  readonly journal: number;
  /** Where the values are. */
  readonly values: number;
  /** The size of one of the two buffers of a slot. */
  readonly valueStride: number;
  /** How many slots share a chunk of values. */
  readonly chunkSlots: number;
  /** The size of the whole. */
  readonly bytes: number;
}

function upTo(number: number, multiple: number): number {
  return Math.ceil(number / multiple) * multiple;
}

/**
 * Lays out a store.
 *
 * @param geometry How large it is.
 * @returns Where everything is.
 */
export function layoutOf({ slots, maxKeyBytes, maxValueBytes, journalEntries }: Geometry): Layout {
  const slotStride = upTo(SLOT.key + maxKeyBytes + 1, LINE_BYTES);
  const valueStride = upTo(maxValueBytes, LINE_BYTES);
  const chunkSlots = Math.max(Math.floor(VALUE_CHUNK_BYTES / (2 * valueStride)), 1);
  const freeWords = Math.ceil(slots / 64);
  const chunks = Math.ceil(slots / CHUNK_KEYS);
  let end = 0;
  const next = (length: number) => {
    const at = end;
    end = upTo(end + length, LINE_BYTES);
    return at;
  };
  next(PAGE_BYTES + LABELS * LABEL.bytes);
  const layout = {
    handles: next(HANDLES * HANDLE.bytes),
    stripes: next(STRIPES * STRIPE_BYTES),
    free: next(freeWords * 8),
    freeWords,
    reserved: next(Math.ceil(Math.ceil(slots / chunkSlots) / 64) * 8),
    index: next(chunks * CHUNK.bytes),
    chunks,
    slots: next(slots * slotStride),
    slotStride,
    attributes: next(slots * ATTRIBUTES.bytes),
    journal: next(journalEntries * 8),
    valueStride,
    chunkSlots,
  };
  const values = upTo(end, PAGE_BYTES);
  return { ...layout, values, bytes: upTo(values + slots * 2 * valueStride, PAGE_BYTES) };
}

/** The part of the header that never changes. */
export interface Identity {
  /** How large the store is. */
  readonly geometry: Geometry;
  /** Drawn at random when it was created. */
  readonly storeId: Uint8Array;
}

/** The size of the part of the header that never changes. */
export const IDENTITY_BYTES = 128;
const CHECKSUMMED_BYTES = 64;

/**
 * Reads the start of a file that may be a store.
 *
 * The order of the checks decides what the user is told: a foreign file is not a store, a store of another version is
 * incompatible, and only what claims to be ours can be corrupt.
 *
 * @param start Its first bytes, {@linkcode IDENTITY_BYTES} if it has so many.
 * @param fileBytes How long the file is.
 * @param task What could not be done, for a message.
 * @returns What it says.
 */
export function decodeIdentity(start: Uint8Array, fileBytes: number, task: string): Identity {
  const corrupt = (reason: string) => new CorruptError(`Cannot ${task}: Corrupt store: ${reason}`);
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  if (start.length < 8 || view.getUint32(0, true) !== MAGIC) {
    throw new NotAStoreError(`Cannot ${task}: Not a store: it does not begin as a store does`);
  }
  const version = view.getUint32(4, true);
  if (version !== FORMAT_VERSION) {
    throw new IncompatibleError(
      `Cannot ${task}: Incompatible: the store has format version ${version}, this build reads ${FORMAT_VERSION}`,
    );
  }
  if (start.length < IDENTITY_BYTES) throw corrupt("the file ends within the header");
  if (view.getBigUint64(8, true) !== FINGERPRINT) {
    throw new IncompatibleError(
      `Cannot ${task}: Incompatible: the store was laid out by a different build of this version`,
    );
  }
  if (view.getBigUint64(64, true) !== xxh3(start.subarray(0, CHECKSUMMED_BYTES))) {
    throw corrupt("the header's checksum is wrong");
  }
  if (start.subarray(72, IDENTITY_BYTES).some((byte) => byte !== 0)) {
    throw corrupt("reserved bytes of the header are not zero");
  }
  const geometry = {
    slots: view.getUint32(16, true),
    maxKeyBytes: view.getUint32(20, true),
    maxValueBytes: view.getUint32(24, true),
    journalEntries: view.getUint32(28, true),
  };
  if (!isWithinLimits(geometry)) throw corrupt("the header's geometry is outside its limits");
  if (powerOfTwo(geometry.journalEntries) !== geometry.journalEntries) {
    throw corrupt("the journal's length is not a power of two");
  }
  const { bytes } = layoutOf(geometry);
  // No file is so long, and its places would not be exact numbers.
  if (bytes > Number.MAX_SAFE_INTEGER) throw corrupt("the file is shorter than its header says");
  if (view.getBigUint64(32, true) !== BigInt(bytes)) {
    throw corrupt("the header's size does not follow from its geometry");
  }
  if (fileBytes < bytes) throw corrupt("the file is shorter than its header says");
  return { geometry, storeId: start.slice(HEADER.storeId, HEADER.storeId + 16) };
}

/**
 * Makes the start of a new store's file.
 *
 * @param identity What never changes.
 * @param createdNs When it is created, in ns since 1970.
 * @returns The bytes.
 */
export function encodeIdentity({ geometry, storeId }: Identity, createdNs: bigint): Uint8Array {
  const start = new Uint8Array(IDENTITY_BYTES);
  const view = new DataView(start.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, FORMAT_VERSION, true);
  view.setBigUint64(8, FINGERPRINT, true);
  view.setUint32(16, geometry.slots, true);
  view.setUint32(20, geometry.maxKeyBytes, true);
  view.setUint32(24, geometry.maxValueBytes, true);
  view.setUint32(28, geometry.journalEntries, true);
  view.setBigUint64(32, BigInt(layoutOf(geometry).bytes), true);
  start.set(storeId, HEADER.storeId);
  view.setBigUint64(56, createdNs, true);
  view.setBigUint64(64, xxh3(start.subarray(0, CHECKSUMMED_BYTES)), true);
  return start;
}

/** The state of a slot: sequence (61 bits), and whether it is wiped, being written, live. */
export const Ctl = {
  live: 1n,
  writing: 2n,
  wiped: 4n,

  /** The number of the last change. */
  sequence: (ctl: bigint): bigint => ctl >> BigInt(SEQUENCE_SHIFT),

  /** The buffer that holds the value, 0 or 1. */
  buffer: (ctl: bigint): 0 | 1 => Number(ctl >> BigInt(SEQUENCE_SHIFT) & 1n) as 0 | 1,

  /** What users see: twice the sequence, plus one while a write is in progress. */
  epoch: (ctl: bigint): bigint => Ctl.sequence(ctl) << 1n | (ctl & Ctl.writing) >> 1n,

  /** The state after a change. `isWiped`: the buffer of the change before it gets zeroed. */
  published: (sequence: bigint, isLive: boolean, isWiped: boolean): bigint =>
    (sequence << BigInt(SEQUENCE_SHIFT) | (isWiped ? Ctl.wiped : 0n) | (isLive ? Ctl.live : 0n)) & MASK,

  /**
   * Whether what was read between two looks at the state is one whole value. The buffer of sequence n is touched next by
   * the zeroing after n + 1 was published (then the state says "wiped") or by the filling for n + 2 (then "writing").
   */
  wasStable: (before: bigint, after: bigint): boolean => {
    const changes = Ctl.sequence(after) - Ctl.sequence(before);
    return changes === 0n || (changes === 1n && (after & (Ctl.writing | Ctl.wiped)) === 0n);
  },
} as const;

/** What belongs to one buffer: lengths of value and key, the value's type, flags. */
export const Descriptor = {
  dirty: 1n << 40n,
  timed: 1n << 41n,
  appended: 1n << 42n,
  pinned: 1n << 43n,
  checked: 1n << 44n,

  make: (valueBytes: number, keyBytes: number, flags: bigint, valueType = 0): bigint =>
    BigInt(valueBytes) | BigInt(valueType) << 32n | flags | BigInt(keyBytes) << 48n,

  valueBytes: (descriptor: bigint): number => Number(descriptor & 0xffff_ffffn),
  keyBytes: (descriptor: bigint): number => Number(descriptor >> 48n),
  valueType: (descriptor: bigint): number => Number(descriptor >> 32n & 0xffn),
} as const;

/**
 * Makes an entry of the journal, but for its lap.
 *
 * @param slot Which slot.
 * @param kind What happened, one of {@linkcode Change}.
 * @param sequence The slot's sequence after it.
 * @returns The entry.
 */
export function journalEntry(slot: number, kind: number, sequence: bigint): bigint {
  return BigInt(slot) << BigInt(LAP_BITS + KIND_BITS + SEQUENCE_BITS) |
    BigInt.asUintN(SEQUENCE_BITS, sequence) << BigInt(LAP_BITS + KIND_BITS) | BigInt(kind) << BigInt(LAP_BITS);
}

const PENDING_SEQUENCE_BITS = 29;

/**
 * Makes the note of a change that is about to be published.
 *
 * @param kind What happens, one of {@linkcode Change}.
 * @param sequence The slot's sequence after it.
 * @returns The note, which is not 0.
 */
export function pendingNote(kind: number, sequence: bigint): number {
  return (kind << PENDING_SEQUENCE_BITS | Number(BigInt.asUintN(PENDING_SEQUENCE_BITS, sequence))) >>> 0;
}

/**
 * Reads the note of a change.
 *
 * @param note The note.
 * @param sequence The slot's sequence.
 * @returns What happened if that is the change that led to the sequence, or 0.
 */
export function pendingKind(note: number, sequence: bigint): number {
  const kind = note >>> PENDING_SEQUENCE_BITS;
  return pendingNote(kind, sequence) === note ? kind : 0;
}

/**
 * Makes the token of a handle, which lock words name.
 *
 * @param index Its place among the handles.
 * @param incarnation A number that no other handle of the store ever had.
 * @returns The token.
 */
export function token(index: number, incarnation: bigint): bigint {
  return incarnation << BigInt(INDEX_BITS) | BigInt(index + 1);
}

/** The bits of an incarnation. */
export const INCARNATION_BITS = 64 - INDEX_BITS;
