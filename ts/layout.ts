/**
 * The structs that cross the border, as `splinter_bus.h` declares them. A test compares these offsets with the header.
 *
 * @module
 */
import type { BusHeaderSnapshot, SlotSnapshot } from "./types.ts";

/** The version of the native functions that this code speaks. */
export const ABI = 1;

/** The result for a key that is not there. */
export const NO_KEY = -1;

/** `spl_open`: what to do when there is a store already, and when not. */
export const How = { open: 0, create: 1, openOrCreate: 2, createOrOpen: 3 };

/** `spl_options.kind`. */
export const Kind = { file: 0, memory: 1, anonymous: 2 };

/** `spl_options.flags`. */
export const Flag = { readOnly: 1, throughput: 2, noSpin: 4 };

/** The kinds of pattern of `spl_watch`. */
export const PatternKind = { key: 0, keys: 1, prefix: 2, glob: 3 };

/** The flags of `spl_watch` and `spl_changes`. */
export const WatchFlag = { values: 1, initial: 2, from: 4 };

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
} as const;

/** The size of `spl_options`. */
export const OPTIONS_BYTES = 44;

/** Offsets in `spl_error`. */
export const ERROR = { code: 0, os_errno: 4, message: 8 } as const;

/** The size of `spl_error`. */
export const ERROR_BYTES = 520;

/** Offsets in `spl_slot_snapshot`. */
export const SLOT = { hash: 0, epoch: 8, val_off: 16, val_len: 24, slot: 28 } as const;

/** The size of `spl_slot_snapshot`. */
export const SLOT_BYTES = 32;

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
} as const;

/** The size of `spl_header_snapshot`. */
export const HEADER_BYTES = 80;

/** The size of `spl_cursor`. All zero is the start of a scan. */
export const CURSOR_BYTES = 16;

/** Offsets in a record of `spl_scan`, which ends at a multiple of 8. */
export const RECORD = { epoch: 0, value_len: 8, key_len: 12, key: 16 } as const;

/** Offsets in `spl_change`. */
export const CHANGE = { seq: 0, epoch: 8, kind: 16, key_len: 20, value_len: 24, reserved: 28 } as const;

/** The size of `spl_change`. The key follows; the value, and the next record, begin at a multiple of 8. */
export const CHANGE_BYTES = 32;

/** The kinds of change, by `spl_change.kind`. */
export const CHANGE_KINDS = [undefined, "set", "unset", "expired", "vanished", "lost", "current"] as const;

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
    parse_failures: view.getBigUint64(HEADER.parse_failures, true),
    last_failure_epoch: view.getBigUint64(HEADER.last_failure_epoch, true),
  };
}
