/**
 * The functions of the native library over a store's file, without the library: for places where foreign functions are not
 * permitted. Reading is possible beside any number of writers, writing only for one who has the file for himself.
 *
 * @module
 */
import { closeSync, constants, linkSync, openSync, readFileSync, unlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import * as errors from "../errors.ts";
import { ERROR_NUMBERS, UnsupportedError } from "../errors.ts";
import * as layout from "../layout.ts";
import type { FileLock, Handle, Opened, Runtime } from "../native.ts";
import { KEY_ROOM, roundUp, VALUE_AT } from "../scratch.ts";
import { Access, systemError } from "./access.ts";
import {
  ATTRIBUTES,
  Ctl,
  Descriptor,
  encodeIdentity,
  FLAG_AUTO_VACUUM,
  FLAG_CHECKSUMS,
  type Geometry,
  geometryOf,
  HEADER,
  LABEL,
  layoutOf,
  SLOT,
} from "./format.ts";
import { Fault, isText, nowNs, Region, sleep, type View } from "./region.ts";
import { type Outcome, type Request, Writer } from "./writer.ts";

/** The number of the machine's boot. */
const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** Permission bits of a new store. */
const PRIVATE = 0o600;

const MAX_TIME = 2n ** 64n - 2n;
const NS_PER_MS = 1_000_000n;

/** How often a wait looks, in milliseconds: nobody wakes it. */
const POLL_MS = 1;

/** How often an open or create is tried where others create and remove the store. */
const TURNS = 100;

/** A time that never ends, in milliseconds. */
const FOR_EVER = 0xffff_ffff;

/** No record of a scan is longer. */
const MAX_RECORD_BYTES = 2048;

/** How much of the slots is read at once to see which are in use. */
const STATES_BYTES = 16_384;

/** Where the key stands in the scratch memory. */
const KEY_AT = VALUE_AT - KEY_ROOM;

const { NO_KEY } = layout;

/** An open store. */
interface FileStore {
  readonly region: Region;
  readonly path: string;
  readonly pollMs: number;
  /** The right to write, if there is one, and what it rests on. */
  readonly writing: { readonly writer: Writer; readonly lock: FileLock } | null;
  scratch: Uint8Array;
  scratchView: DataView;
}

/** A key of an open store. */
interface FileKey {
  readonly store: FileStore;
  readonly key: Uint8Array;
  seen: bigint;
}

/** What is asked for, as the native library takes it: numbers that are 0 were not said. */
type Asked = Record<keyof typeof layout.OPTIONS, number>;

/** Says what this engine cannot do. */
function unsupported(what: string): UnsupportedError {
  return new UnsupportedError(`The engine "file" cannot ${what}: that takes the native library`);
}

function unwatched(): never {
  throw unsupported("watch a store");
}

/**
 * Opens or creates a store.
 *
 * @param runtime Who takes the file for itself.
 * @param how One of {@linkcode layout.How}.
 * @param place The path of the file, and what kind of store is asked for, one of {@linkcode layout.Kind}.
 * @param options An `spl_options`.
 * @param task What for, for messages.
 * @returns What the native library's `spl_open` would.
 */
export function openFile(
  runtime: Runtime,
  how: number,
  { kind, path }: { kind: number; path: string | null },
  options: Uint8Array,
  task: string,
): Handle {
  if (kind !== layout.Kind.file || path === null) throw unsupported("open anything but a file by its path");
  const view = new DataView(options.buffer);
  const asked = Object.fromEntries(
    Object.entries(layout.OPTIONS).map(([name, at]) => [name, view.getUint32(at, true)]),
  ) as Asked;
  if ((asked.flags & layout.Flag.commit) !== 0 || asked.sync_interval_ms !== 0) throw unsupported("sync a store");
  const place = absolute(path);
  const open = () => openOnce(runtime, place, asked, task);
  const create = () => {
    if ((asked.flags & layout.Flag.readOnly) !== 0) {
      throw new errors.InvalidArgumentError(`Cannot ${task}: a store cannot be created read-only`);
    }
    createOnce(runtime, place, asked, task);
    return open();
  };
  const { How } = layout;
  if (how === How.open) return open();
  if (how === How.create) return create();
  let makes = how === How.createOrOpen;
  for (let turn = 0; turn < TURNS; turn++, makes = !makes) {
    try {
      return makes ? create() : open();
    } catch (error) {
      if (!(error instanceof (makes ? errors.ExistsError : errors.NoStoreError))) throw error;
    }
  }
  throw new errors.BusyError(`Cannot ${task}: the store is being created and removed again and again`);
}

/** By which a path names the same file wherever the process goes; as it is where that is not told. */
function absolute(path: string): string {
  try {
    return resolve(path);
  } catch {
    return path;
  }
}

function geometryAsked({ slots, max_key_bytes, max_value_bytes, journal_entries }: Asked): Partial<Geometry> {
  const said = (number: number) => number === 0 ? undefined : number;
  return {
    slots: said(slots),
    maxKeyBytes: said(max_key_bytes),
    maxValueBytes: said(max_value_bytes),
    journalEntries: said(journal_entries),
  };
}

function openOnce(runtime: Runtime, path: string, asked: Asked, task: string): FileStore {
  const isWritable = (asked.flags & layout.Flag.readOnly) === 0;
  if (isWritable) expectLocks(runtime, task);
  const region = new Region(path, { isWritable, patienceMs: asked.lock_timeout_ms || 1000, task });
  using stack = new DisposableStack();
  stack.use(region.file);
  compare(region.geometry, geometryAsked(asked), task);
  refuseUnrecovered(region, task);
  let writing: FileStore["writing"] = null;
  if (isWritable) {
    const lock = lockedBy(runtime, path, task);
    stack.use(lock);
    if (lock.inode !== region.file.stat().inode) {
      throw new errors.BusyError(`Cannot ${task}: Busy: the store is being replaced by another`);
    }
    writing = { writer: new Writer(region), lock };
  }
  const scratch = new Uint8Array();
  stack.move();
  const pollMs = asked.poll_interval_ms || POLL_MS;
  return { region, path, pollMs, writing, scratch, scratchView: new DataView(scratch.buffer) };
}

function expectLocks({ lockFile }: Runtime, task: string): void {
  if (lockFile !== undefined) return;
  throw new UnsupportedError(
    `Cannot ${task}: this runtime cannot lock a file, so that the engine "file" is "readOnly"`,
  );
}

function lockedBy(runtime: Runtime, path: string, task: string): FileLock {
  let lock: FileLock | null | undefined;
  try {
    lock = runtime.lockFile?.(path);
  } catch (error) {
    throw systemError(error, task);
  }
  if (!lock) {
    throw new errors.BusyError(
      `Cannot ${task}: Busy: somebody else has it open for writing, with whom it cannot be shared`,
    );
  }
  return lock;
}

function compare(has: Geometry, asked: Partial<Geometry>, task: string): void {
  const wanted = geometryOf(asked);
  const differs = (name: keyof Geometry) => asked[name] !== undefined && wanted[name] !== has[name];
  if (differs("slots") || differs("maxKeyBytes") || differs("maxValueBytes") || differs("journalEntries")) {
    throw new errors.IncompatibleError(
      `Cannot ${task}: Incompatible: the store has ${has.slots} slots, values of up to ${has.maxValueBytes} bytes, ` +
        `keys of up to ${has.maxKeyBytes} bytes and a journal of ${has.journalEntries} changes`,
    );
  }
}

/** After a restart of the machine a store that has a checkpoint may be torn, and only the native library recovers it. */
function refuseUnrecovered({ file }: Region, task: string): void {
  if ((file.u32(HEADER.flags) & FLAG_CHECKSUMS) === 0) return;
  const [high, low] = bootId(task);
  if (file.u64(HEADER.bootId) !== high || file.u64(HEADER.bootId + 8) !== low) {
    throw new errors.CorruptError(
      `Cannot ${task}: Corrupt store: the machine was restarted: ` +
        "it must be opened for writing by the native library once, to be recovered",
    );
  }
}

function bootId(task: string): [high: bigint, low: bigint] {
  let text: string;
  try {
    text = readFileSync(BOOT_ID, "utf8");
  } catch (cause) {
    const reason = "It is synced to a checkpoint, and whether the machine was restarted since is told by";
    throw new errors.PermissionError(`Cannot ${task}: ${reason} "${BOOT_ID}": ${(cause as Error).message}`, { cause });
  }
  const number = BigInt(`0x${text.trim().replaceAll("-", "")}`);
  return [number >> 64n, BigInt.asUintN(64, number)];
}

/** Makes a new store, which appears under its name complete or not at all. */
function createOnce(runtime: Runtime, path: string, asked: Asked, task: string): void {
  expectLocks(runtime, task);
  const geometry = geometryOf(geometryAsked(asked));
  const { values, bytes, free, freeWords } = layoutOf(geometry);
  if (exists(path)) throw new errors.ExistsError(`Cannot ${task}: The store exists already`);
  const temporary = join(dirname(path), `.splinter-${crypto.randomUUID().replaceAll("-", "")}`);
  const { O_CREAT, O_EXCL, O_RDWR } = constants;
  const file = creating(task, () => new Access(temporary, O_CREAT | O_EXCL | O_RDWR, task, asked.mode || PRIVATE));
  try {
    using _ = file;
    file.resize(bytes);
    // All but the values, so that nobody who maps it finds the disk full.
    file.zero(0, values);
    const map = new Uint8Array(freeWords * 8);
    for (let slot = 0; slot < geometry.slots; slot++) map[slot >> 3] |= 1 << (slot & 7);
    file.write(free, map);
    file.setU32(HEADER.flags, (asked.flags & layout.Flag.throughput) === 0 ? FLAG_AUTO_VACUUM : 0);
    file.setU32(HEADER.eviction, asked.eviction);
    const storeId = crypto.getRandomValues(new Uint8Array(16));
    file.write(0, encodeIdentity({ geometry, storeId }, nowNs()));
    creating(task, () => linkSync(temporary, path));
  } finally {
    unlinkSync(temporary);
  }
}

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    return (error as { code?: string }).code !== "ENOENT";
  }
}

/** What is missing when a file cannot be created is its directory, not a store. */
function creating<T>(task: string, create: () => T): T {
  try {
    return create();
  } catch (error) {
    const told = systemError(error, task);
    if (!(told instanceof errors.NoStoreError)) throw told;
    throw new errors.IoError(`Cannot ${task}: there is no such directory`, { cause: error, errno: 2 });
  }
}

/** Gives the result of a call, or the number of what went wrong. */
function answer(call: () => number): number {
  try {
    return call();
  } catch (error) {
    if (error instanceof Fault) return -error.number;
    throw error;
  }
}

function withStore(handle: Handle | null, call: (store: FileStore) => number): number {
  if (handle === null) return -ERROR_NUMBERS.CLOSED;
  return answer(() => call(handle as FileStore));
}

function withKey(handle: Handle | null, call: (store: FileStore, key: Uint8Array, opened: FileKey) => number): number {
  if (handle === null) return -ERROR_NUMBERS.CLOSED;
  const opened = handle as FileKey;
  return answer(() => call(opened.store, opened.key, opened));
}

/** A call about the key that stands in the scratch memory. */
function withScratch(
  handle: Handle | null,
  keyLength: number,
  call: (store: FileStore, key: Uint8Array) => number,
): number {
  return withStore(handle, (store) => call(store, store.scratch.subarray(KEY_AT, KEY_AT + keyLength)));
}

function writerOf({ writing }: FileStore): Writer {
  if (writing === null) throw new Fault(ERROR_NUMBERS.PERMISSION);
  return writing.writer;
}

/** Takes something of a key that is read: what is read counts as used. */
function reading<T>({ region, writing }: FileStore, key: Uint8Array, take: (view: View) => T): T | null {
  return region.read(key, (view) => {
    const taken = take(view);
    writing?.writer.noteAccess(view.slot);
    return taken;
  });
}

/** Copies a value if it fits. */
function get(store: FileStore, key: Uint8Array, to: Uint8Array, also?: (view: View) => void): number {
  const length = reading(store, key, (view) => {
    if (view.valueBytes <= to.length) store.region.copyValue(view, to);
    also?.(view);
    return view.valueBytes;
  });
  return length ?? NO_KEY;
}

function epochOf(store: FileStore, key: Uint8Array): bigint | null {
  return reading(store, key, (view) => Ctl.epoch(view.ctl));
}

function putEpoch(store: FileStore, key: Uint8Array): number {
  const epoch = epochOf(store, key);
  if (epoch === null) return NO_KEY;
  store.scratchView.setBigUint64(0, epoch, true);
  return 0;
}

function write(store: FileStore, key: Uint8Array, request: Request): Outcome {
  return writerOf(store).write(key, request);
}

function set(store: FileStore, key: Uint8Array, value: Uint8Array): number {
  write(store, key, { content: value });
  return 0;
}

function unset(store: FileStore, key: Uint8Array): number {
  const { isDone, result } = writerOf(store).unset(key);
  return isDone ? Number(result) : NO_KEY;
}

function append(store: FileStore, key: Uint8Array, suffix: Uint8Array): number {
  return Number(write(store, key, { content: { suffix }, deadline: "keep" }).result);
}

function scratchValue({ scratch }: FileStore, length: number): Uint8Array {
  return scratch.subarray(VALUE_AT, VALUE_AT + length);
}

function setWith(store: FileStore, key: Uint8Array, value: Uint8Array): number {
  const { scratchView: options } = store;
  const { SET_OPTIONS, SetFlag, Condition } = layout;
  const flags = options.getUint32(SET_OPTIONS.flags, true);
  const epoch = options.getBigUint64(SET_OPTIONS.epoch, true);
  const outcome = write(store, key, {
    content: value,
    condition: (flags & Condition.absent) !== 0
      ? (found) => found === null
      : (flags & Condition.present) !== 0
      ? (found) => found !== null
      : (flags & Condition.epoch) !== 0
      ? (found) => (found ?? 0n) === epoch
      : undefined,
    deadline: (flags & SetFlag.keepTtl) !== 0
      ? "keep"
      : (flags & SetFlag.ttl) !== 0
      ? deadlineIn(options.getBigUint64(SET_OPTIONS.ttl_ms, true))
      : undefined,
    type: (flags & SetFlag.type) !== 0 ? options.getUint32(SET_OPTIONS.value_type, true) : undefined,
  });
  return told(store, outcome);
}

/** Tells what came of a write on a condition. */
function told({ scratchView }: FileStore, { isDone, epoch }: Outcome): number {
  scratchView.setBigUint64(0, epoch, true);
  return isDone ? 0 : -ERROR_NUMBERS.CONDITION_NOT_MET;
}

function deadlineIn(ttlMs: bigint): bigint {
  const deadline = nowNs() + ttlMs * NS_PER_MS;
  return deadline < MAX_TIME ? deadline : MAX_TIME;
}

function ttlMs(region: Region, { slot, ctl, descriptor }: View): bigint {
  if ((descriptor & Descriptor.timed) === 0n) return layout.NO_DEADLINE;
  const left = region.deadline(slot, ctl) - nowNs();
  return left > 0n ? left / NS_PER_MS : 0n;
}

/** The number that an operation makes of another. */
function applied(operation: number, operand: bigint): (before: bigint | null) => bigint {
  const { Operator, OperatorFlag } = layout;
  const isSigned = (operation & OperatorFlag.signed) !== 0;
  const cut = (number: bigint) => isSigned ? BigInt.asIntN(64, number) : BigInt.asUintN(64, number);
  const by = cut(operand);
  return (before) => {
    const number = cut(before ?? 0n);
    let result: bigint;
    switch (operation & ~(OperatorFlag.signed | OperatorFlag.checked)) {
      case Operator.add:
        result = number + by;
        break;
      case Operator.sub:
        result = number - by;
        break;
      case Operator.and:
        result = number & by;
        break;
      case Operator.or:
        result = number | by;
        break;
      case Operator.xor:
        result = number ^ by;
        break;
      default:
        result = ~number;
    }
    const isSum = (operation & ~(OperatorFlag.signed | OperatorFlag.checked)) <= Operator.sub;
    if (isSum && (operation & OperatorFlag.checked) !== 0 && cut(result) !== result) {
      throw new Fault(ERROR_NUMBERS.OVERFLOW);
    }
    return BigInt.asUintN(64, result);
  };
}

/** Waits until a key is seen changed, for at most so long. */
function poll({ region, pollMs }: FileStore, key: Uint8Array, timeoutMs: number): number {
  // A sequence belongs to one key for ever: an epoch that differs, or is not there, is a change.
  const look = () => region.read(key, ({ ctl }) => Ctl.sequence(ctl));
  const before = look();
  const end = timeoutMs === FOR_EVER ? Infinity : performance.now() + timeoutMs;
  while (look() === before) {
    const left = end - performance.now();
    if (left <= 0) return 0;
    sleep(Math.min(left, pollMs));
  }
  return 1;
}

/** Fills memory with the next keys of a scan, as records of an `spl_entry`, the key, and padding. */
function scan({ region }: FileStore, cursor: Uint8Array, prefix: Uint8Array, page: Uint8Array): number {
  const place = new DataView(cursor.buffer, cursor.byteOffset, cursor.byteLength);
  const out = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const { CURSOR, ENTRY, ENTRY_BYTES } = layout;
  let births = place.getBigUint64(CURSOR.births, true);
  if (births === 0n) {
    // A key is stamped with the number of inserts before its own, so those of this scan have smaller stamps.
    births = region.file.u64(HEADER.births) + 1n;
    place.setBigUint64(CURSOR.births, births, true);
  }
  const wanted = place.getBigUint64(CURSOR.labels, true);
  const states = new States(region);
  let filled = 0;
  let slot = Number(place.getBigUint64(CURSOR.next, true));
  for (; slot < region.geometry.slots && filled + MAX_RECORD_BYTES <= page.length; slot++) {
    if (!states.wasLive(slot)) continue;
    const at = filled;
    const length = region.readSlot(slot, (view) => {
      const { key } = view;
      const labels = region.labels(slot);
      // A key that was deleted and inserted again since the scan began would be met twice.
      const isOfThisScan = region.file.u64(region.attributesAt(slot) + ATTRIBUTES.birth) < births - 1n;
      const isMeant = isOfThisScan && startsWith(key, prefix) && (labels & wanted) === wanted;
      if (!isMeant || region.isExpired(view)) return 0;
      if (key.length === 0 || key.includes(0) || !isText(key)) {
        throw new errors.CorruptError("The store contradicts itself: a slot holds what cannot be a key");
      }
      out.setBigUint64(at + ENTRY.epoch, Ctl.epoch(view.ctl), true);
      out.setBigUint64(at + ENTRY.labels, labels, true);
      out.setUint32(at + ENTRY.value_len, view.valueBytes, true);
      out.setUint32(at + ENTRY.key_len, key.length, true);
      out.setUint32(at + ENTRY.value_type, Descriptor.valueType(view.descriptor), true);
      page.set(key, at + ENTRY_BYTES);
      return ENTRY_BYTES + key.length;
    });
    filled = roundUp(at + (length ?? 0));
  }
  place.setBigUint64(CURSOR.next, BigInt(slot), true);
  return filled;
}

/** Which slots are in use, seen many at once: a key that exists all the time of a scan is. */
class States {
  readonly #region: Region;
  readonly #bytes: Uint8Array;
  readonly #count: number;
  #first = 0;
  #end = 0;

  constructor(region: Region) {
    this.#region = region;
    const { slotStride } = region.layout;
    this.#count = Math.max(Math.floor(STATES_BYTES / slotStride), 1);
    this.#bytes = new Uint8Array(this.#count * slotStride);
  }

  wasLive(slot: number): boolean {
    const { slotStride } = this.#region.layout;
    if (slot >= this.#end) {
      this.#first = slot;
      this.#end = Math.min(slot + this.#count, this.#region.geometry.slots);
      this.#region.file.read(this.#region.slotAt(slot), this.#bytes.subarray(0, (this.#end - slot) * slotStride));
    }
    return (this.#bytes[(slot - this.#first) * slotStride + SLOT.ctl] & Number(Ctl.live)) !== 0;
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, i) => bytes[i] === byte);
}

function snapshotOf({ region }: FileStore, out: DataView): number {
  const { file, geometry } = region;
  const { HEADER: Out } = layout;
  out.setBigUint64(Out.epoch, region.journalEnd(), true);
  out.setBigUint64(Out.parse_failures, file.u64(HEADER.parseFailures), true);
  out.setBigUint64(Out.last_failure_epoch, file.u64(HEADER.lastFailureEpoch), true);
  out.setBigUint64(Out.region_bytes, BigInt(region.layout.bytes), true);
  out.setBigUint64(Out.journal_entries, BigInt(geometry.journalEntries), true);
  region.storeId.forEach((byte, i) => out.setUint8(Out.store_id + i, byte));
  out.setUint32(Out.magic, file.u32(0), true);
  out.setUint32(Out.version, file.u32(4), true);
  out.setUint32(Out.slots, geometry.slots, true);
  out.setUint32(Out.max_key_bytes, geometry.maxKeyBytes, true);
  out.setUint32(Out.max_value_bytes, geometry.maxValueBytes, true);
  out.setUint32(Out.auto_vacuum, region.isSterile() ? 1 : 0, true);
  out.setUint32(Out.eviction, file.u32(HEADER.eviction), true);
  return 0;
}

/** The functions, which any number of stores share. */
export const fileEngine: Opened = {
  spl_close(handle) {
    return withStore(handle, ({ region, writing }) => {
      using stack = new DisposableStack();
      stack.use(region.file);
      if (writing === null) return 0;
      // In this order at the end: others may come when the lock is gone.
      stack.use(writing.lock);
      writing.writer.detach();
      return 0;
    });
  },

  spl_path: (handle, buffer, capacity) =>
    withStore(handle, ({ path }) => {
      const bytes = new TextEncoder().encode(path);
      if (bytes.length <= capacity) buffer.set(bytes);
      return bytes.length;
    }),

  spl_header_snapshot: (handle, out) =>
    withStore(handle, (store) => snapshotOf(store, new DataView(out.buffer, out.byteOffset, out.byteLength))),

  spl_auto_vacuum: (handle) => withStore(handle, ({ region }) => region.isSterile() ? 1 : 0),

  spl_set_auto_vacuum: (handle, on) =>
    withStore(handle, (store) => {
      writerOf(store).setSterile(on !== 0);
      return 0;
    }),

  spl_sync: (handle) =>
    withStore(handle, () => {
      throw unsupported("sync a store");
    }),

  spl_sync_failure: (handle) => withStore(handle, () => 0),

  spl_recovery: (handle) => withStore(handle, () => 0),

  spl_backup: (handle) =>
    withStore(handle, () => {
      throw unsupported("copy a store");
    }),

  spl_scan: (handle, cursor, prefix, prefixLength, buffer, capacity) =>
    withStore(handle, (store) => scan(store, cursor, prefix.subarray(0, prefixLength), buffer.subarray(0, capacity))),

  spl_handle_id: (handle) =>
    withStore(handle, () => {
      throw unsupported("have channels");
    }),

  spl_selector: (handle) => withStore(handle, unwatched),

  // Nobody comes so far: the selector is asked for first.
  spl_watch: unwatched,
  spl_changes: unwatched,
  spl_unwatch: unwatched,
  spl_ready: unwatched,
  spl_next: unwatched,

  spl_scratch: (handle, scratch) =>
    withStore(handle, (store) => {
      store.scratch = scratch;
      store.scratchView = new DataView(scratch.buffer, scratch.byteOffset, scratch.byteLength);
      return 0;
    }),

  spl_scratch_get: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => get(store, key, store.scratch.subarray(VALUE_AT))),

  spl_scratch_get_into: (handle, keyLength, buffer, capacity) =>
    withScratch(handle, keyLength, (store, key) => get(store, key, buffer.subarray(0, capacity))),

  spl_scratch_set: (handle, keyLength, length) =>
    withScratch(handle, keyLength, (store, key) => set(store, key, scratchValue(store, length))),

  spl_scratch_try_set: (handle, keyLength, length) => fileEngine.spl_scratch_set(handle, keyLength, length),

  spl_scratch_set_from: (handle, keyLength, value, length) =>
    withScratch(handle, keyLength, (store, key) => set(store, key, value.subarray(0, length))),

  spl_scratch_try_set_from: (handle, keyLength, value, length) =>
    fileEngine.spl_scratch_set_from(handle, keyLength, value, length),

  spl_scratch_unset: (handle, keyLength) => withScratch(handle, keyLength, unset),

  spl_scratch_try_unset: (handle, keyLength) => withScratch(handle, keyLength, unset),

  spl_scratch_contains: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => reading(store, key, () => 1) ?? 0),

  spl_scratch_epoch: (handle, keyLength) => withScratch(handle, keyLength, putEpoch),

  spl_scratch_slot_snapshot: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const { region, scratchView: out } = store;
      const { SLOT: Out } = layout;
      const found = reading(store, key, (view) => {
        const { slot, ctl, descriptor } = view;
        out.setBigUint64(Out.hash, region.hash(key), true);
        out.setBigUint64(Out.epoch, Ctl.epoch(ctl), true);
        out.setBigUint64(Out.val_off, BigInt(region.valueAt(slot, Ctl.buffer(ctl))), true);
        out.setUint32(Out.val_len, view.valueBytes, true);
        out.setUint32(Out.slot, slot, true);
        out.setBigUint64(Out.labels, region.labels(slot), true);
        out.setBigUint64(Out.ttl_ms, ttlMs(region, view), true);
        out.setUint32(Out.value_type, Descriptor.valueType(descriptor), true);
        out.setUint32(Out.pinned, (descriptor & Descriptor.pinned) === 0n ? 0 : 1, true);
        return 0;
      });
      return found ?? NO_KEY;
    }),

  spl_scratch_poll: (handle, keyLength, timeoutMs) =>
    withScratch(handle, keyLength, (store, key) => poll(store, key, timeoutMs)),

  spl_get_many: (handle, keys, keysLength, buffer, capacity, done) =>
    withStore(handle, (store) => {
      const input = new DataView(keys.buffer, keys.byteOffset, keysLength);
      const out = new DataView(buffer.buffer, buffer.byteOffset, capacity);
      let count = 0;
      let filled = 0;
      for (let at = 0; at < keysLength; count++) {
        const length = input.getUint32(at, true);
        const key = keys.subarray(at + 4, at + 4 + length);
        at += 4 + length;
        if (filled + 4 > capacity) break;
        const result = get(store, key, buffer.subarray(filled + 4, capacity));
        if (filled + 4 + result > capacity) break;
        out.setUint32(filled, result === NO_KEY ? layout.NO_VALUE : result, true);
        filled += 4 + Math.max(result, 0);
      }
      new DataView(done.buffer, done.byteOffset).setUint32(0, count, true);
      return filled;
    }),

  spl_set_many: (handle, entries, entriesLength, done) =>
    withStore(handle, (store) => {
      const input = new DataView(entries.buffer, entries.byteOffset, entriesLength);
      let count = 0;
      try {
        for (let at = 0; at < entriesLength; count++) {
          const key = at + 8;
          const value = key + input.getUint32(at, true);
          at = value + input.getUint32(at + 4, true);
          set(store, entries.subarray(key, value), entries.subarray(value, at));
        }
        return 0;
      } finally {
        new DataView(done.buffer, done.byteOffset).setUint32(0, count, true);
      }
    }),

  spl_key(handle, key, keyLength, error) {
    const { region } = handle as FileStore;
    const copy = key.slice(0, keyLength);
    const result = answer(() => {
      region.checkKey(copy);
      return 0;
    });
    if (result === 0) {
      const store = handle as FileStore;
      return { store, key: copy, seen: epochOf(store, copy) ?? 0n } satisfies FileKey;
    }
    const { maxKeyBytes } = region.geometry;
    const reason = result === -ERROR_NUMBERS.KEY_TOO_LONG
      ? `The key has ${keyLength} bytes, this store's keys at most ${maxKeyBytes}`
      : "Invalid key: a key is one byte or more of UTF-8 without NUL";
    new DataView(error.buffer).setInt32(layout.ERROR.code, result, true);
    new TextEncoder().encodeInto(reason, error.subarray(layout.ERROR.message));
    return null;
  },

  spl_key_close: () => 0,
  spl_key_get: (handle, buffer, capacity) =>
    withKey(handle, (store, key) => get(store, key, buffer.subarray(0, capacity))),
  spl_key_set: (handle, value, length) => withKey(handle, (store, key) => set(store, key, value.subarray(0, length))),
  spl_key_append: (handle, value, length) =>
    withKey(handle, (store, key) => append(store, key, value.subarray(0, length))),
  spl_key_unset: (handle) => withKey(handle, unset),
  spl_key_exists: (handle) => withKey(handle, (store, key) => reading(store, key, () => 1) ?? 0),
  spl_key_changed: (handle) =>
    withKey(handle, (store, key, opened) => {
      const now = (epochOf(store, key) ?? 0n) & ~1n;
      const isChanged = now !== opened.seen;
      opened.seen = now;
      return isChanged ? 1 : 0;
    }),
  spl_key_scratch_get: (handle) => withKey(handle, (store, key) => get(store, key, store.scratch.subarray(VALUE_AT))),
  spl_key_scratch_set: (handle, length) =>
    withKey(handle, (store, key) => set(store, key, scratchValue(store, length))),
  spl_key_scratch_set_typed: (handle, length, type) =>
    withKey(handle, (store, key) => {
      write(store, key, { content: scratchValue(store, length), type });
      return 0;
    }),
  spl_key_scratch_epoch: (handle) => withKey(handle, putEpoch),

  spl_get_entry: (handle, key, keyLength, buffer, capacity, version) =>
    withStore(handle, (store) => {
      const out = new DataView(version.buffer, version.byteOffset, version.byteLength);
      return getEntry(store, key.subarray(0, keyLength), buffer.subarray(0, capacity), out);
    }),

  // Nothing lies where it could be looked at: a value of no bytes has the caller take a copy.
  spl_view: (handle, key, keyLength, view) =>
    withStore(handle, (store) => {
      view.fill(0);
      return reading(store, key.subarray(0, keyLength), () => 0) ?? NO_KEY;
    }),
  spl_view_is_whole: (handle) => withStore(handle, () => 0),

  spl_name_label: (handle, label, name, nameLength) =>
    withStore(handle, (store) => {
      const bytes = name.subarray(0, nameLength);
      const isTaken = nameLength > 0 && labelNames(store).some(([other, taken]) =>
        other !== label && taken.length === nameLength && startsWith(taken, bytes)
      );
      if (nameLength > LABEL.nameMax || bytes.includes(0) || isTaken) throw new Fault(ERROR_NUMBERS.INVALID_ARGUMENT);
      writerOf(store).nameLabel(label, bytes);
      return 0;
    }),

  spl_label_names: (handle, buffer) =>
    withStore(handle, (store) => {
      const out = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
      let at = 0;
      for (const [label, name] of labelNames(store)) {
        out.setUint32(at, label, true);
        out.setUint32(at + 4, name.length, true);
        buffer.set(name, at + 8);
        at = roundUp(at + 8 + name.length);
      }
      return at;
    }),

  spl_sweep: (handle) => withStore(handle, (store) => writerOf(store).sweep()),

  spl_eviction: (handle) => withStore(handle, ({ region }) => region.file.u32(HEADER.eviction)),

  spl_set_eviction: (handle, policy) =>
    withStore(handle, (store) => {
      writerOf(store).setEviction(policy);
      return 0;
    }),

  spl_scratch_set_typed: (handle, keyLength, length, type) =>
    withScratch(handle, keyLength, (store, key) => {
      write(store, key, { content: scratchValue(store, length), type });
      return 0;
    }),

  spl_scratch_set_with: (handle, keyLength, length) =>
    withScratch(handle, keyLength, (store, key) => setWith(store, key, scratchValue(store, length))),

  spl_scratch_set_with_from: (handle, keyLength, value, length) =>
    withScratch(handle, keyLength, (store, key) => setWith(store, key, value.subarray(0, length))),

  spl_scratch_unset_if_epoch: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const epoch = store.scratchView.getBigUint64(0, true);
      return told(store, writerOf(store).unset(key, (found) => found === epoch));
    }),

  spl_scratch_get_entry: (handle, keyLength) =>
    withScratch(
      handle,
      keyLength,
      (store, key) => getEntry(store, key, store.scratch.subarray(VALUE_AT), store.scratchView),
    ),

  spl_scratch_append: (handle, keyLength, length) =>
    withScratch(handle, keyLength, (store, key) => append(store, key, scratchValue(store, length))),

  spl_scratch_append_from: (handle, keyLength, value, length) =>
    withScratch(handle, keyLength, (store, key) => append(store, key, value.subarray(0, length))),

  spl_scratch_apply: (handle, keyLength, operation) =>
    withScratch(handle, keyLength, (store, key) => {
      const { OperatorFlag } = layout;
      const { scratchView } = store;
      const initialType = (operation & OperatorFlag.signed) !== 0
        ? layout.ValueNumber.bigint
        : layout.ValueNumber.biguint;
      const number = applied(operation, scratchView.getBigUint64(0, true));
      const { result } = write(store, key, { content: { number }, deadline: "keep", initialType });
      scratchView.setBigUint64(0, result, true);
      return 0;
    }),

  spl_scratch_expire: (handle, keyLength, ttl) =>
    withScratch(handle, keyLength, (store, key) => writerOf(store).expire(key, deadlineIn(ttl)) ? 0 : NO_KEY),

  spl_scratch_persist: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const had = writerOf(store).persist(key);
      return had === null ? NO_KEY : Number(had);
    }),

  spl_scratch_ttl: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const ttl = reading(store, key, (view) => ttlMs(store.region, view));
      if (ttl === null) return NO_KEY;
      store.scratchView.setBigUint64(0, ttl, true);
      return 0;
    }),

  spl_scratch_pin: (handle, keyLength, on) =>
    withScratch(handle, keyLength, (store, key) => writerOf(store).pin(key, on !== 0) ? 0 : NO_KEY),

  spl_scratch_labels: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const labels = reading(store, key, ({ slot }) => store.region.labels(slot));
      if (labels === null) return NO_KEY;
      store.scratchView.setBigUint64(0, labels, true);
      return 0;
    }),

  spl_scratch_label: (handle, keyLength) =>
    withScratch(handle, keyLength, (store, key) => {
      const { scratchView } = store;
      const now = writerOf(store).label(key, scratchView.getBigUint64(0, true), scratchView.getBigUint64(8, true));
      if (now === null) return NO_KEY;
      scratchView.setBigUint64(0, now, true);
      return 0;
    }),
};

function labelNames({ region }: FileStore): [label: number, name: Uint8Array][] {
  const names: [number, Uint8Array][] = [];
  for (let label = 0; label < layout.LABELS; label++) {
    const name = region.labelName(label);
    if (name !== null) names.push([label, name]);
  }
  return names;
}

function getEntry(store: FileStore, key: Uint8Array, to: Uint8Array, out: DataView): number {
  return get(store, key, to, ({ ctl, descriptor, valueBytes }) => {
    out.setBigUint64(layout.VERSION.epoch, Ctl.epoch(ctl), true);
    out.setUint32(layout.VERSION.value_type, Descriptor.valueType(descriptor), true);
    out.setUint32(layout.VERSION.value_len, valueBytes, true);
  });
}
