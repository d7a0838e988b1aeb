/**
 * The structs that cross the border, as `splinter_bus.h` declares them. A test compares these offsets with the header.
 *
 * @module
 */
import type { BusHeaderSnapshot, Eviction, Recovery, SlotSnapshot, ValueType } from "./types.ts";

/** The version of the native functions that this code speaks. */
export const ABI = 1;

/** The result for a key that is not there. */
export const NO_KEY = -1;

/** `spl_open`: what to do when there is a store already, and when not. */
export const How = { open: 0, create: 1, openOrCreate: 2, createOrOpen: 3 };

/** `spl_options.kind`. */
export const Kind = { file: 0, memory: 1, anonymous: 2 };

/** `spl_options.flags`. */
export const Flag = { readOnly: 1, throughput: 2, noSpin: 4, commit: 8 };

/** The kinds of pattern of `spl_watch`. */
export const PatternKind = { key: 0, keys: 1, prefix: 2, glob: 3 };

/** The flags of `spl_watch` and `spl_changes`. */
export const WatchFlag = { values: 1, initial: 2, from: 4, appended: 8, labels: 16 };

/** The conditions of `spl_set_options.flags`. */
export const Condition = { absent: 1, present: 2, epoch: 4 };

/** The other bits of `spl_set_options.flags`. */
export const SetFlag = { ttl: 8, keepTtl: 16, type: 32 };

/** The operations of `spl_apply`. */
export const Operator = { add: 0, sub: 1, and: 2, or: 3, xor: 4, not: 5 };

/** What is added to an operation of `spl_apply`. */
export const OperatorFlag = { checked: 16, signed: 32 };

/** The types of values that follow from values, as `SPL_TYPE_` numbers. */
export const ValueNumber = { bigint: 1, biguint: 2, json: 3, text: 7 };

/** The types of values, by the `SPL_TYPE_` numbers. */
export const VALUE_TYPES: readonly ValueType[] = [
  "void",
  "bigint",
  "biguint",
  "json",
  "binary",
  "image",
  "audio",
  "text",
];

/** What goes when the store is full, by the `SPL_EVICT_` numbers. */
export const EVICTIONS: readonly Eviction[] = ["none", "ttl", "lru"];

/** How many labels there are. */
export const LABELS = 64;

/** `spl_slot_snapshot.ttl_ms` of a key without a deadline. */
export const NO_DEADLINE = 2n ** 64n - 1n;

/** Offsets in `spl_options`; every field is 32 bits. */
export const OPTIONS = {
  size: 0,
  kind: 4,
  slots: 8,
  max_key_bytes: 12,
  max_value_bytes: 16,
  journal_entries: 20,
  mode: 24,
  flags: 28,
  lock_timeout_ms: 32,
  spin_us: 36,
  poll_interval_ms: 40,
  eviction: 44,
  sync_interval_ms: 48,
} as const;

/** The size of `spl_options`. */
export const OPTIONS_BYTES = 52;

/** Offsets in `spl_error`. */
export const ERROR = { code: 0, os_errno: 4, message: 8 } as const;

/** The size of `spl_error`. */
export const ERROR_BYTES = 520;

/** Offsets in `spl_slot_snapshot`. */
export const SLOT = {
  hash: 0,
  epoch: 8,
  val_off: 16,
  val_len: 24,
  slot: 28,
  labels: 32,
  ttl_ms: 40,
  value_type: 48,
  pinned: 52,
} as const;

/** The size of `spl_slot_snapshot`. */
export const SLOT_BYTES = 56;

/** Offsets in `spl_header_snapshot`. */
export const HEADER = {
  epoch: 0,
  parse_failures: 8,
  last_failure_epoch: 16,
  region_bytes: 24,
  journal_entries: 32,
  store_id: 40,
  magic: 56,
  version: 60,
  slots: 64,
  max_key_bytes: 68,
  max_value_bytes: 72,
  auto_vacuum: 76,
  eviction: 80,
  reserved: 84,
} as const;

/** The size of `spl_header_snapshot`. */
export const HEADER_BYTES = 88;

/** Offsets in `spl_recovery`. */
export const RECOVERY = { kept: 0, restored: 4, lost: 8, reserved: 12 } as const;

/** The size of `spl_recovery`. */
export const RECOVERY_BYTES = 16;

/** Offsets in `spl_cursor`, which is all zero at the start of a scan, but for the labels. */
export const CURSOR = { births: 0, next: 8, labels: 16 } as const;

/** The size of `spl_cursor`. */
export const CURSOR_BYTES = 24;

/** Offsets in `spl_entry`. */
export const ENTRY = { epoch: 0, labels: 8, value_len: 16, key_len: 20, value_type: 24, reserved: 28 } as const;

/** The size of `spl_entry`. The key follows, and the next record begins at a multiple of 8. */
export const ENTRY_BYTES = 32;

/** Offsets in `spl_set_options`. */
export const SET_OPTIONS = { size: 0, flags: 4, epoch: 8, ttl_ms: 16, value_type: 24, reserved: 28 } as const;

/** The size of `spl_set_options`. */
export const SET_OPTIONS_BYTES = 32;

/** Offsets in `spl_version`. */
export const VERSION = { epoch: 0, value_type: 8, value_len: 12 } as const;

/** The size of `spl_version`. */
export const VERSION_BYTES = 16;

/** Offsets in `spl_view`. */
export const VIEW = { value: 0, value_len: 8, state: 16, slot: 24 } as const;

/** The size of `spl_view`. */
export const VIEW_BYTES = 32;

/** Offsets in `spl_change`. */
export const CHANGE = { seq: 0, epoch: 8, kind: 16, key_len: 20, value_len: 24, offset: 28 } as const;

/** The size of `spl_change`. The key follows; the value, and the next record, begin at a multiple of 8. */
export const CHANGE_BYTES = 32;

/** The kinds of change, by `spl_change.kind`. */
export const CHANGE_KINDS = [
  undefined,
  "set",
  "unset",
  "expired",
  "vanished",
  "lost",
  "current",
  "appended",
  "evicted",
  "attributes",
] as const;

/** `spl_change.value_len` of a change without a value, read as a signed number. */
export const NO_VALUE = -1;

/**
 * Encodes an `spl_options`.
 *
 * @param fields The fields that are not 0.
 * @returns The struct.
 */
export function encodeOptions(fields: Partial<Record<keyof typeof OPTIONS, number>>): Uint8Array {
  const bytes = new Uint8Array(OPTIONS_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(OPTIONS.size, OPTIONS_BYTES, true);
  for (const [name, offset] of Object.entries(OPTIONS)) {
    const value = fields[name as keyof typeof OPTIONS];
    if (value !== undefined) view.setUint32(offset, value, true);
  }
  return bytes;
}

/**
 * Decodes an `spl_slot_snapshot`.
 *
 * @param view The struct.
 * @param key The key of the slot.
 * @returns The snapshot.
 */
export function decodeSlot(view: DataView, key: string): SlotSnapshot {
  return {
    hash: view.getBigUint64(SLOT.hash, true),
    epoch: view.getBigUint64(SLOT.epoch, true),
    val_off: view.getBigUint64(SLOT.val_off, true),
    val_len: view.getUint32(SLOT.val_len, true),
    key,
    type: typeOf(view.getUint32(SLOT.value_type, true)),
    labels: view.getBigUint64(SLOT.labels, true),
    ttl: timeLeft(view.getBigUint64(SLOT.ttl_ms, true)),
    pinned: view.getUint32(SLOT.pinned, true) !== 0,
  };
}

/**
 * Decodes an `spl_header_snapshot`.
 *
 * @param view The struct.
 * @returns The snapshot.
 */
export function decodeHeader(view: DataView): BusHeaderSnapshot {
  return {
    magic: view.getUint32(HEADER.magic, true),
    version: view.getUint32(HEADER.version, true),
    slots: view.getUint32(HEADER.slots, true),
    max_val_sz: view.getUint32(HEADER.max_value_bytes, true),
    epoch: view.getBigUint64(HEADER.epoch, true),
    auto_vacuum: view.getUint32(HEADER.auto_vacuum, true),
    eviction: evictionOf(view.getUint32(HEADER.eviction, true)),
    parse_failures: view.getBigUint64(HEADER.parse_failures, true),
    last_failure_epoch: view.getBigUint64(HEADER.last_failure_epoch, true),
  };
}

/**
 * Decodes an `spl_recovery`.
 *
 * @param view The struct.
 * @returns What was recovered.
 */
export function decodeRecovery(view: DataView): Recovery {
  return {
    kept: view.getUint32(RECOVERY.kept, true),
    restored: view.getUint32(RECOVERY.restored, true),
    lost: view.getUint32(RECOVERY.lost, true),
  };
}

/**
 * Names a type.
 *
 * @param number One of the `SPL_TYPE_` numbers.
 * @returns Its name.
 */
export function typeOf(number: number): ValueType {
  // A newer library may know more.
  return VALUE_TYPES[number] ?? "void";
}

/**
 * Names a policy of eviction.
 *
 * @param number One of the `SPL_EVICT_` numbers.
 * @returns Its name.
 */
export function evictionOf(number: number): Eviction {
  return EVICTIONS[number] ?? "none";
}

/**
 * Decodes a time to live.
 *
 * @param ttl The time in milliseconds, or {@linkcode NO_DEADLINE}.
 * @returns The time in milliseconds; `Infinity` is for ever.
 */
export function timeLeft(ttl: bigint): number {
  return ttl === NO_DEADLINE ? Infinity : Number(ttl);
}
