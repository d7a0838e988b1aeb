/**
 * Changing a store's file, by the one who has it for himself.
 *
 * Each step stands where it stands in `rust/core/src/write.rs`, because others may be reading, and because a death may come
 * after any of them: lock words name this handle, so that whoever opens the store next, natively or not, finds it dead and finishes
 * what it began. Nobody waits for a lock, for nobody else has one: a lock that is found is that of a dead handle, or of a write
 * that the disk has failed.
 *
 * Nobody is woken. Those who can sleep on a word of the store could write to it, and are not there.
 *
 * @module
 */
import process from "node:process";
import { CorruptError, ERROR_NUMBERS } from "../errors.ts";
import type { Access } from "./access.ts";
import {
  ATTRIBUTES,
  Change,
  CHUNK,
  CHUNK_CELLS,
  Ctl,
  Descriptor,
  FLAG_AUTO_VACUUM,
  FLAG_CHECKSUMS,
  HANDLE,
  HANDLES,
  HEADER,
  INCARNATION_BITS,
  journalEntry,
  LABEL,
  LAP_BITS,
  type Layout,
  pendingKind,
  pendingNote,
  SLOT,
  STRIPE_BYTES,
  STRIPES,
  token,
} from "./format.ts";
import { Fault, nowNs, type Region, tagOf, type View } from "./region.ts";
import { xxh3 } from "./xxh3.ts";

/** The greatest number of 64 bits. */
const MAX = 2n ** 64n - 1n;

/** The journal's hint is advanced by every so manieth entry. */
const HINT_STRIDE = 8n;

/** How often an append starts anew from the hint before it takes the journal for broken. */
const RESTARTS = 64;

/** `SLOT.waiters`: the key was used since the clock has passed it. */
const ACCESSED = 4;

/** Policies of eviction. */
const Policy = { ttl: 1, lru: 2 } as const;

/** Slots among which the one that is due soonest is looked for. */
const WINDOW = 4096;

/** What a write is to do. */
export interface Request {
  /** What the value will be: bytes; bytes behind those that are there; or the number that is made of the one that is there. */
  readonly content: Uint8Array | { readonly suffix: Uint8Array } | {
    readonly number: (before: bigint | null) => bigint;
  };
  /** Whether it happens, by the epoch that is found; `null`: there is no key. */
  readonly condition?: (epoch: bigint | null) => boolean;
  /** When its time is up, in ns since 1970, or that it keeps the time that it has; never otherwise. */
  readonly deadline?: bigint | "keep";
  /** The number of its type, if it gets one. */
  readonly type?: number;
  /** The type of a key that is new, if no other is said. */
  readonly initialType?: number;
}

/** What a write or a deletion came to. */
export interface Outcome {
  /** Whether it happened. */
  readonly isDone: boolean;
  /** The key's epoch, or 0 if there is none. */
  readonly epoch: bigint;
  /** The length of the value, or the number. */
  readonly result: bigint;
}

/** The one handle that writes. */
export class Writer {
  readonly #region: Region;
  readonly #file: Access;
  readonly #layout: Layout;
  readonly #handleAt: number;
  readonly #token: bigint;
  /** A slot at which a write was when the disk failed. */
  #unfinished: number | undefined;

  /**
   * Becomes somebody to the store, and finishes what the dead have left: all who are attached are dead, since the caller has the
   * store for itself.
   *
   * @param region The store.
   */
  constructor(region: Region) {
    this.#region = region;
    this.#file = region.file;
    this.#layout = region.layout;
    const handles = new Uint8Array(HANDLES * HANDLE.bytes);
    this.#file.read(this.#layout.handles, handles);
    const view = new DataView(handles.buffer);
    const incarnationOf = (index: number) => view.getBigUint64(index * HANDLE.bytes + HANDLE.incarnation, true);
    const dead = Array.from({ length: HANDLES }, (_, index) => index).filter((index) => incarnationOf(index) !== 0n);
    const free = Array.from({ length: HANDLES }, (_, index) => index).find((index) => incarnationOf(index) === 0n);
    // Where all are taken, one of the dead makes room: its locks are seen to be of an earlier incarnation.
    const index = free ?? 0;
    const last = this.#file.u64(HEADER.incarnations);
    this.#file.setU64(HEADER.incarnations, BigInt.asUintN(64, last + 1n));
    const incarnation = BigInt.asUintN(INCARNATION_BITS, last + 1n) || 1n;
    this.#handleAt = this.#layout.handles + index * HANDLE.bytes;
    this.#token = token(index, incarnation);
    this.#file.setU32(this.#handleAt + HANDLE.pid, process.pid);
    this.#file.setU32(this.#handleAt + HANDLE.watches, 0);
    this.#file.setU64(this.#handleAt + HANDLE.startTime, 0n);
    this.#file.setU64(this.#handleAt + HANDLE.incarnation, incarnation);
    if (dead.length > 0) this.#rescueAll();
    for (const other of dead) {
      if (other !== index) this.#file.setU64(this.#layout.handles + other * HANDLE.bytes + HANDLE.incarnation, 0n);
    }
    if (this.#file.u32(HEADER.recount) !== 0) this.#recount();
  }

  /** Gives the place back, unless the disk fails: then it is that of a dead handle. */
  detach(): void {
    this.#finish();
    this.#file.setU64(this.#handleAt + HANDLE.incarnation, 0n);
  }

  /**
   * Changes what is under a key.
   *
   * @param key The key in UTF-8.
   * @param request How.
   * @returns What came of it.
   */
  write(key: Uint8Array, request: Request): Outcome {
    const region = this.#region;
    const { content, condition } = request;
    region.checkKey(key);
    this.#checkLength(content instanceof Uint8Array ? content.length : "suffix" in content ? content.suffix.length : 8);
    this.#finish();
    const hash = region.hash(key);
    let view = region.find(hash, key);
    if (view !== null && region.isExpired(view)) {
      this.#remove(view, hash, Change.expire);
      view = null;
    }
    const found = view === null ? null : Ctl.epoch(view.ctl);
    if (condition !== undefined && !condition(found)) return { isDone: false, epoch: found ?? 0n, result: 0n };
    return view === null ? this.#insert(key, hash, request) : this.#overwrite(view, request);
  }

  /**
   * Deletes a key.
   *
   * @param key The key in UTF-8.
   * @param condition Whether it is deleted, by its epoch.
   * @returns What came of it, and how long the value was.
   */
  unset(key: Uint8Array, condition: (epoch: bigint) => boolean = () => true): Outcome {
    const region = this.#region;
    region.checkKey(key);
    this.#finish();
    const hash = region.hash(key);
    const view = region.find(hash, key);
    if (view !== null && region.isExpired(view)) this.#remove(view, hash, Change.expire);
    else if (view !== null) {
      const epoch = Ctl.epoch(view.ctl);
      if (!condition(epoch)) return { isDone: false, epoch, result: 0n };
      this.#remove(view, hash, Change.unset);
      return { isDone: true, epoch: (Ctl.sequence(view.ctl) + 1n) << 1n, result: BigInt(view.valueBytes) };
    }
    return { isDone: false, epoch: 0n, result: 0n };
  }

  /** Gives a key a deadline, in ns since 1970. Returns whether there is such a key. */
  expire(key: Uint8Array, deadline: bigint): boolean {
    return this.#changeAttributes(key, ({ slot, ctl, descriptor }) => {
      this.#noteDeadline(deadline);
      this.#setDeadline(slot, Ctl.buffer(ctl), deadline);
      this.#setDescriptor(slot, Ctl.buffer(ctl), descriptor | Descriptor.timed);
      return true;
    }) !== null;
  }

  /** Takes a key's deadline away. Returns whether it had one, or `null` if there is no such key. */
  persist(key: Uint8Array): boolean | null {
    return this.#changeAttributes(key, ({ slot, ctl, descriptor }) => {
      this.#setDescriptor(slot, Ctl.buffer(ctl), descriptor & ~Descriptor.timed);
      return (descriptor & Descriptor.timed) !== 0n;
    });
  }

  /** Sets whether a key is never evicted. Returns whether there is such a key. */
  pin(key: Uint8Array, isPinned: boolean): boolean {
    return this.#changeAttributes(key, ({ slot, ctl, descriptor }) => {
      const changed = isPinned ? descriptor | Descriptor.pinned : descriptor & ~Descriptor.pinned;
      if (changed !== descriptor) this.#setDescriptor(slot, Ctl.buffer(ctl), changed);
      return changed !== descriptor;
    }) !== null;
  }

  /** Takes labels from a key and gives it others, one bit each. Returns all that it has then, or `null`. */
  label(key: Uint8Array, add: bigint, remove: bigint): bigint | null {
    let now = 0n;
    const found = this.#changeAttributes(key, ({ slot }) => {
      const before = this.#region.labels(slot);
      now = before & ~remove | add;
      if (now !== before) this.#file.setU64(this.#region.attributesAt(slot) + ATTRIBUTES.labels, now);
      return now !== before;
    });
    return found === null ? null : now;
  }

  /**
   * Names a label: where nobody reads first, and then by one write that says that it holds.
   *
   * @param label Its number.
   * @param name The name in UTF-8.
   */
  nameLabel(label: number, name: Uint8Array): void {
    const record = LABEL.at + label * LABEL.bytes;
    const renamings = (this.#file.u64(record) >> 8n) + 1n;
    const bytes = new Uint8Array(LABEL.nameRoom);
    bytes.set(name);
    const place = (count: bigint) => record + LABEL.nameAt + Number(count & 1n) * LABEL.nameRoom;
    this.#file.write(place(renamings), bytes);
    this.#file.setU64(record, BigInt.asUintN(64, renamings << 8n) | BigInt(name.length));
    this.#file.zero(place(renamings + 1n), place(renamings + 1n) + LABEL.nameRoom);
  }

  /** Sets whether replaced and deleted bytes are zeroed. */
  setSterile(on: boolean): void {
    const flags = this.#file.u32(HEADER.flags);
    this.#file.setU32(HEADER.flags, on ? flags | FLAG_AUTO_VACUUM : flags & ~FLAG_AUTO_VACUUM);
  }

  /** Sets what goes when the store is full. */
  setEviction(policy: number): void {
    this.#file.setU32(HEADER.eviction, policy);
  }

  /** Deletes the keys whose time is up. Returns how many. */
  sweep(): number {
    const file = this.#file;
    this.#finish();
    if (file.u64(HEADER.nextDeadline) > nowNs() && file.u64(HEADER.sweeper) === 0n) return 0;
    // If this ends on the way, the next deadline is not known: whoever finds the mark looks, whatever it says.
    file.setU64(HEADER.sweeper, this.#token);
    file.setU64(HEADER.nextDeadline, MAX);
    let count = 0;
    for (const view of this.#live()) {
      if ((view.descriptor & Descriptor.timed) === 0n) continue;
      if (this.#region.isExpired(view)) {
        this.#remove(view, this.#hashOf(view.slot), Change.expire);
        count++;
      } else {
        this.#noteDeadline(this.#region.deadline(view.slot, view.ctl));
      }
    }
    file.setU64(HEADER.sweeper, 0n);
    return count;
  }

  /** Notes for the clock that a key was used. */
  noteAccess(slot: number): void {
    if (this.#file.u32(HEADER.eviction) !== Policy.lru) return;
    const at = this.#region.slotAt(slot) + SLOT.waiters;
    const waiters = this.#file.u32(at);
    if ((waiters & ACCESSED) === 0) this.#file.setU32(at, waiters | ACCESSED);
  }

  #checkLength(bytes: number): void {
    if (bytes > this.#region.geometry.maxValueBytes) throw new Fault(ERROR_NUMBERS.VALUE_TOO_LARGE);
  }

  /** Brings to rest what a write of this handle has left that the disk failed. */
  #finish(): void {
    if (this.#unfinished !== undefined) this.#rescue(this.#unfinished);
  }

  /** The live slots, one after the other. */
  *#live(): Generator<View, void, undefined> {
    for (let slot = 0; slot < this.#region.geometry.slots; slot++) {
      const view = this.#region.look(slot, this.#region.ctl(slot));
      if (view !== null) yield view;
    }
  }

  #overwrite(view: View, request: Request): Outcome {
    const region = this.#region;
    const { slot, ctl, descriptor: before } = view;
    const isSterile = region.isSterile();
    const old = Ctl.buffer(ctl);
    const buffer = other(old);
    const keyBytes = view.key.length;
    const { content, deadline, type } = request;
    const isAppend = !(content instanceof Uint8Array) && "suffix" in content;
    let number: bigint | undefined;
    let value: Uint8Array;
    if (content instanceof Uint8Array) value = content;
    else if ("suffix" in content) {
      this.#checkLength(this.#valueBytes(before) + content.suffix.length);
      value = new Uint8Array(this.#valueBytes(before) + content.suffix.length);
      region.copyValue(view, value);
      value.set(content.suffix, value.length - content.suffix.length);
    } else {
      if (view.valueBytes !== 8) throw new Fault(ERROR_NUMBERS.WRONG_TYPE);
      number = content.number(this.#file.u64(region.valueAt(slot, old)));
      value = bytesOf(number);
    }
    const sequence = Ctl.sequence(ctl) + 1n;
    this.#lockSlot(slot);
    if (isAppend && (before & Descriptor.appended) === 0n) {
      this.#file.setU64(region.attributesAt(slot) + ATTRIBUTES.appendedTo, sequence - 1n);
    }
    this.#setCtl(slot, ctl | Ctl.writing);
    let flags = this.#fill(slot, buffer, value, isSterile) | before & Descriptor.pinned |
      (isAppend ? Descriptor.appended : 0n);
    if (typeof deadline === "bigint") {
      this.#setDeadline(slot, buffer, deadline);
      this.#noteDeadline(deadline);
      flags |= Descriptor.timed;
    } else if (deadline === "keep" && (before & Descriptor.timed) !== 0n) {
      this.#setDeadline(slot, buffer, region.deadline(slot, ctl));
      flags |= Descriptor.timed;
    }
    flags |= this.#checksum(slot, buffer, value, sequence);
    const valueType = type ?? Descriptor.valueType(before);
    this.#setDescriptor(slot, buffer, Descriptor.make(value.length, keyBytes, flags, valueType));
    // The start of a longer value is no remains.
    const wipes = isSterile && !isAppend;
    const kind = isAppend ? Change.append : Change.update;
    const next = Ctl.published(sequence, true, wipes);
    this.#publish(slot, kind, next);
    if (wipes) this.#scrub(slot, old);
    else if (isSterile && (before & Descriptor.dirty) !== 0n) this.#scrubTail(slot, old);
    this.#log(slot, kind, sequence);
    this.noteAccess(slot);
    this.#noteDeadlineOf(slot, next, flags);
    this.#unlockSlot(slot);
    return { isDone: true, epoch: Ctl.epoch(next), result: number ?? BigInt(value.length) };
  }

  #insert(key: Uint8Array, hash: bigint, request: Request): Outcome {
    const region = this.#region;
    const file = this.#file;
    const { content, deadline, type, initialType = 0 } = request;
    let number: bigint | undefined;
    let value: Uint8Array;
    if (content instanceof Uint8Array) value = content;
    else if ("suffix" in content) value = content.suffix;
    else {
      number = content.number(null);
      value = bytesOf(number);
    }
    const slot = this.#freeSlot();
    this.#reserve(slot);
    const home = region.home(hash);
    this.#lockStripe(home);
    this.#lockSlot(slot);
    const at = region.attributesAt(slot);
    const ctl = region.ctl(slot);
    // Above every sequence that this slot had, and that any deleted key had: epochs never go back.
    const floor = file.u64(HEADER.epochFloor);
    const last = Ctl.sequence(ctl);
    const sequence = (last > floor ? last : floor) + 1n;
    const next = Ctl.published(sequence, true, false);
    const buffer = Ctl.buffer(next);
    this.#setCtl(slot, ctl | Ctl.writing);
    this.#markFree(slot, false);
    file.setU64(at + ATTRIBUTES.hash, hash);
    const births = file.u64(HEADER.births);
    file.setU64(HEADER.births, births + 1n);
    file.setU64(at + ATTRIBUTES.birth, births);
    file.setU64(at + ATTRIBUTES.inserted, sequence);
    file.setU64(at + ATTRIBUTES.labels, 0n);
    const isSterile = region.isSterile();
    // What a key that was deleted in throughput mode left here.
    this.#zeroKey(slot);
    if (isSterile) this.#scrub(slot, other(buffer));
    // Zero-padded to whole words, with a NUL at least.
    const stored = new Uint8Array((key.length >> 3) + 1 << 3);
    stored.set(key);
    file.write(region.slotAt(slot) + SLOT.key, stored);
    let flags = this.#fill(slot, buffer, value, isSterile);
    if (typeof deadline === "bigint") {
      this.#setDeadline(slot, buffer, deadline);
      this.#noteDeadline(deadline);
      flags |= Descriptor.timed;
    }
    flags |= this.#checksum(slot, buffer, value, sequence);
    this.#setDescriptor(slot, buffer, Descriptor.make(value.length, key.length, flags, type ?? initialType));
    this.#link(hash, slot);
    this.#publish(slot, Change.insert, next);
    this.#log(slot, Change.insert, sequence);
    this.noteAccess(slot);
    this.#noteDeadlineOf(slot, next, flags);
    this.#unlockSlot(slot);
    this.#unlockStripe(home);
    return { isDone: true, epoch: Ctl.epoch(next), result: number ?? BigInt(value.length) };
  }

  /** Deletes the key of a slot. */
  #remove({ slot, ctl }: View, hash: bigint, kind: number): void {
    const file = this.#file;
    const home = this.#region.home(hash);
    this.#lockStripe(home);
    this.#lockSlot(slot);
    const isSterile = this.#region.isSterile();
    const sequence = Ctl.sequence(ctl) + 1n;
    // Before the deletion is seen, so that whoever inserts the key again starts above it.
    if (file.u64(HEADER.epochFloor) < sequence) file.setU64(HEADER.epochFloor, sequence);
    this.#publish(slot, kind, Ctl.published(sequence, false, isSterile));
    this.#clear(slot, hash, isSterile);
    this.#log(slot, kind, sequence);
    this.#markFree(slot, true);
    this.#unlockSlot(slot);
    this.#unlockStripe(home);
  }

  /** Takes a slot that is not live out of the index and, in sterile mode, leaves no byte of what it held. Can be repeated. */
  #clear(slot: number, hash: bigint, isSterile: boolean): void {
    this.#unlink(hash, slot);
    if (!isSterile) return;
    this.#scrub(slot, 0);
    this.#scrub(slot, 1);
    this.#zeroKey(slot);
    const at = this.#region.attributesAt(slot);
    this.#file.setU64(at + ATTRIBUTES.labels, 0n);
    // Last, because the unlinking needs it, if it must be repeated.
    this.#file.setU64(at + ATTRIBUTES.hash, 0n);
  }

  /** Changes something of a key that is not its value, and tells of it in the journal; `change` says whether it did. */
  #changeAttributes(key: Uint8Array, change: (view: View) => boolean): boolean | null {
    const region = this.#region;
    region.checkKey(key);
    this.#finish();
    const hash = region.hash(key);
    const view = region.find(hash, key);
    if (view === null) return null;
    if (region.isExpired(view)) {
      this.#remove(view, hash, Change.expire);
      return null;
    }
    const { slot, ctl } = view;
    this.#lockSlot(slot);
    // Told once too often rather than never, wherever this may end.
    this.#setPending(slot, pendingNote(Change.attributes, Ctl.sequence(ctl)));
    const isChanged = change(view);
    if (isChanged) {
      this.#log(slot, Change.attributes, Ctl.sequence(ctl));
      this.#noteDeadlineOf(slot, ctl, this.#descriptor(slot, Ctl.buffer(ctl)));
    } else {
      this.#setPending(slot, 0);
    }
    this.#unlockSlot(slot);
    return isChanged;
  }

  /** A slot that holds no key. */
  #freeSlot(): number {
    const { geometry } = this.#region;
    const { freeWords } = this.#layout;
    do {
      const first = this.#file.u32(HEADER.freeHint) % freeWords;
      for (let i = 0; i < freeWords; i++) {
        const index = (first + i) % freeWords;
        let free = this.#file.u64(this.#layout.free + 8 * index);
        for (let bit = 0; free !== 0n; bit++, free >>= 1n) {
          const slot = index * 64 + bit;
          if ((free & 1n) === 0n || slot >= geometry.slots) continue;
          if ((this.#region.ctl(slot) & Ctl.live) !== 0n) continue;
          this.#file.setU32(HEADER.freeHint, index);
          return slot;
        }
      }
    } while (this.#makeRoom());
    throw new Fault(ERROR_NUMBERS.FULL);
  }

  /** Frees a slot by the store's policy. Returns whether it did. */
  #makeRoom(): boolean {
    if (this.sweep() > 0) return true;
    switch (this.#file.u32(HEADER.eviction)) {
      case Policy.ttl:
        return this.#evictSoonest();
      case Policy.lru:
        return this.#evictByClock();
      default:
        return false;
    }
  }

  #evictSoonest(): boolean {
    const { slots } = this.#region.geometry;
    const window = Math.min(WINDOW, slots);
    for (let turn = 0; turn < Math.ceil(slots / WINDOW); turn++) {
      const first = this.#file.u32(HEADER.hand);
      this.#file.setU32(HEADER.hand, (first + window) >>> 0);
      let soonest: { slot: number; deadline: bigint } | undefined;
      for (let i = 0; i < window; i++) {
        const slot = ((first + i) >>> 0) % slots;
        const view = this.#region.look(slot, this.#region.ctl(slot));
        if (view === null || (view.descriptor & (Descriptor.timed | Descriptor.pinned)) !== Descriptor.timed) continue;
        const deadline = this.#region.deadline(slot, view.ctl);
        if (soonest === undefined || deadline < soonest.deadline) soonest = { slot, deadline };
      }
      if (soonest !== undefined) return this.#evict(soonest.slot);
    }
    return false;
  }

  #evictByClock(): boolean {
    const { slots } = this.#region.geometry;
    // Twice round at most: once to clear the marks, once to take the first that may go.
    for (let turn = 0; turn < 2 * slots; turn++) {
      const hand = this.#file.u32(HEADER.hand);
      this.#file.setU32(HEADER.hand, (hand + 1) >>> 0);
      const slot = hand % slots;
      const view = this.#region.look(slot, this.#region.ctl(slot));
      if (view === null || (view.descriptor & Descriptor.pinned) !== 0n) continue;
      const at = this.#region.slotAt(slot) + SLOT.waiters;
      const waiters = this.#file.u32(at);
      if (turn < slots && (waiters & ACCESSED) !== 0) this.#file.setU32(at, waiters & ~ACCESSED);
      else return this.#evict(slot);
    }
    return false;
  }

  #evict(slot: number): boolean {
    const view = this.#region.look(slot, this.#region.ctl(slot));
    if (view !== null) this.#remove(view, this.#hashOf(slot), Change.evict);
    return view !== null;
  }

  /** Puts space behind the values of a slot, and remembers it for all slots that share the chunk. */
  #reserve(slot: number): void {
    const { chunkSlots, valueStride, values, bytes, reserved } = this.#layout;
    const chunk = Math.floor(slot / chunkSlots);
    const at = reserved + Math.floor(chunk / 64) * 8;
    const bit = 1n << BigInt(chunk % 64);
    const word = this.#file.u64(at);
    if ((word & bit) !== 0n) return;
    const chunkBytes = chunkSlots * 2 * valueStride;
    const from = values + chunk * chunkBytes;
    // Every byte as it is, since the note may be what was lost and not the values.
    this.#file.rewrite(from, Math.min(from + chunkBytes, bytes));
    this.#file.setU64(at, word | bit);
  }

  /** Finishes what somebody who is dead, or this handle, began in a slot. */
  #rescue(slot: number): void {
    if (this.#file.u64(this.#region.slotAt(slot) + SLOT.lock) === 0n) return;
    const hash = this.#hashOf(slot);
    const home = this.#region.home(hash);
    this.#lockStripe(home);
    this.#lockSlot(slot);
    this.#file.setU64(HEADER.repairs, this.#file.u64(HEADER.repairs) + 1n);
    this.#settle(slot, hash);
    this.#unlockStripe(home);
  }

  #rescueAll(): void {
    for (let slot = 0; slot < this.#region.geometry.slots; slot++) this.#rescue(slot);
    for (let stripe = 0; stripe < STRIPES; stripe++) {
      const at = this.#layout.stripes + stripe * STRIPE_BYTES;
      if (this.#file.u64(at) === 0n) continue;
      this.#file.setU32(HEADER.recount, 1);
      this.#file.setU64(at, 0n);
    }
  }

  /** Brings a slot to rest and unlocks it: `rust/core/src/repair.rs`. */
  #settle(slot: number, hash: bigint): void {
    const region = this.#region;
    const found = region.ctl(slot);
    let ctl = found & ~Ctl.writing;
    const isLive = (ctl & Ctl.live) !== 0n;
    const unused: (0 | 1)[] = isLive ? [other(Ctl.buffer(ctl))] : [0, 1];
    // What was half written goes in either mode: it may lie over the value before, which somebody may still be reading.
    const erases = region.isSterile() || (found & (Ctl.writing | Ctl.wiped)) !== 0n;
    if (erases) {
      ctl |= Ctl.wiped;
      this.#setCtl(slot, found | Ctl.wiped);
      for (const buffer of unused) {
        // It lies behind no descriptor yet.
        if ((found & Ctl.writing) !== 0n) {
          const keyBytes = Descriptor.keyBytes(this.#descriptor(slot, buffer));
          this.#setDescriptor(slot, buffer, Descriptor.make(0, keyBytes, Descriptor.dirty));
        }
        this.#scrub(slot, buffer);
      }
    }
    this.#setCtl(slot, ctl);
    const sequence = Ctl.sequence(ctl);
    const kind = pendingKind(this.#file.u32(region.slotAt(slot) + SLOT.pending), sequence);
    // Several changes of attributes look the same, so that one of them is told once more rather than not.
    if (kind !== 0 && (kind === Change.attributes || !this.#journalHas(slot, kind, sequence))) {
      this.#append(slot, kind, sequence);
    }
    this.#setPending(slot, 0);
    if (isLive) {
      this.#noteDeadlineOf(slot, ctl, this.#descriptor(slot, Ctl.buffer(ctl)));
    } else {
      this.#clear(slot, hash, erases);
      this.#markFree(slot, true);
    }
    this.#unlockSlot(slot);
  }

  /** Makes the counts of the index exact. */
  #recount(): void {
    const region = this.#region;
    const { chunks } = this.#layout;
    this.#file.setU32(HEADER.recount, 0);
    const differences = new Array<number>(chunks).fill(0);
    const chunk = new Uint8Array(CHUNK.bytes);
    const view = new DataView(chunk.buffer);
    let count = 0;
    for (let at = 0; at < chunks; at++) {
      this.#file.read(region.chunkAt(at), chunk);
      for (let cell = 0; cell < CHUNK_CELLS; cell++) {
        const slot = view.getUint32(CHUNK.cells + 4 * cell, true) - 1;
        if (slot < 0 || slot >= region.geometry.slots) continue;
        const home = region.home(this.#hashOf(slot));
        differences[home]++;
        differences[at]--;
        // It passed over the end, so it is counted from the first chunk on.
        if (at < home) count++;
      }
    }
    for (let at = 0; at < chunks; at++) {
      count += differences[at];
      this.#file.setU32(region.chunkAt(at) + CHUNK.overflow, count);
    }
  }

  /** Enters a slot under a hash. */
  #link(hash: bigint, slot: number): void {
    const region = this.#region;
    let chunk = region.home(hash);
    for (let i = 0; i < this.#layout.chunks; i++) {
      const at = region.chunkAt(chunk);
      for (let cell = 0; cell < CHUNK_CELLS; cell++) {
        if (this.#file.u32(at + CHUNK.cells + 4 * cell) !== 0) continue;
        this.#file.setU32(at + CHUNK.cells + 4 * cell, slot + 1);
        this.#file.write(at + CHUNK.tags + cell, Uint8Array.of(tagOf(hash)));
        return;
      }
      // Counted before the key is entered further on, so that no search stops short of it.
      this.#file.setU32(at + CHUNK.overflow, this.#file.u32(at + CHUNK.overflow) + 1);
      chunk = region.chunkBehind(chunk);
    }
    throw new CorruptError("The store contradicts itself: the index has no room although a slot is free");
  }

  /** Takes a slot out from under a hash, if it is there. */
  #unlink(hash: bigint, slot: number): void {
    const region = this.#region;
    const home = region.home(hash);
    let chunk = home;
    for (let distance = 0; distance < this.#layout.chunks; distance++) {
      const at = region.chunkAt(chunk);
      for (let cell = 0; cell < CHUNK_CELLS; cell++) {
        if (this.#file.u32(at + CHUNK.cells + 4 * cell) !== slot + 1) continue;
        this.#file.write(at + CHUNK.tags + cell, Uint8Array.of(0));
        this.#file.setU32(at + CHUNK.cells + 4 * cell, 0);
        for (let passed = home; distance > 0; distance--, passed = region.chunkBehind(passed)) {
          const count = this.#file.u32(region.chunkAt(passed) + CHUNK.overflow);
          if (count > 0) this.#file.setU32(region.chunkAt(passed) + CHUNK.overflow, count - 1);
        }
        return;
      }
      if (this.#file.u32(at + CHUNK.overflow) === 0) return;
      chunk = region.chunkBehind(chunk);
    }
  }

  /** Appends a change to the journal. */
  #append(slot: number, kind: number, sequence: bigint): void {
    const region = this.#region;
    const file = this.#file;
    const entries = region.geometry.journalEntries;
    let position = file.u64(HEADER.journalTail);
    for (let steps = 0, restarts = 0; restarts <= RESTARTS && steps <= 4 * entries; steps++) {
      const lap = region.lap(position);
      const ahead = BigInt.asUintN(LAP_BITS, lap - file.u64(region.entryAt(position)));
      const hint = file.u64(HEADER.journalTail);
      // The hint lags by a few entries, if it is whole.
      const isOvertaken = hint > position && hint - position > BigInt(entries);
      if (isOvertaken || ahead > 1n) {
        restarts++;
        position = hint;
      } else if (ahead === 0n) {
        position = BigInt.asUintN(64, position + 1n);
      } else {
        file.setU64(region.entryAt(position), journalEntry(slot, kind, sequence) | lap);
        if (position % HINT_STRIDE === HINT_STRIDE - 1n) file.setU64(HEADER.journalTail, position + 1n);
        return;
      }
    }
    // The change itself stands: only those who follow the journal miss it.
    file.setU64(HEADER.parseFailures, file.u64(HEADER.parseFailures) + 1n);
    file.setU64(HEADER.lastFailureEpoch, file.u64(HEADER.journalTail));
  }

  #journalHas(slot: number, kind: number, sequence: bigint): boolean {
    const region = this.#region;
    const wanted = journalEntry(slot, kind, sequence);
    const end = region.journalEnd();
    const count = Math.min(region.geometry.journalEntries, Number(end));
    for (let back = 1n; back <= count; back++) {
      const position = end - back;
      if (this.#file.u64(region.entryAt(position)) === (wanted | region.lap(position))) return true;
    }
    return false;
  }

  #publish(slot: number, kind: number, ctl: bigint): void {
    this.#setPending(slot, pendingNote(kind, Ctl.sequence(ctl)));
    this.#setCtl(slot, ctl);
  }

  #log(slot: number, kind: number, sequence: bigint): void {
    this.#append(slot, kind, sequence);
    this.#setPending(slot, 0);
  }

  /** Fills a buffer that no reader is sent to. Returns what its descriptor must say of the bytes behind the value. */
  #fill(slot: number, buffer: 0 | 1, value: Uint8Array, isSterile: boolean): bigint {
    const at = this.#region.valueAt(slot, buffer);
    const held = this.#heldBytes(this.#descriptor(slot, buffer));
    this.#file.write(at, value);
    if (isSterile) this.#file.zero(at + value.length, at + held);
    return !isSterile && held > value.length ? Descriptor.dirty : 0n;
  }

  #checksum(slot: number, buffer: 0 | 1, value: Uint8Array, sequence: bigint): bigint {
    if ((this.#file.u32(HEADER.flags) & FLAG_CHECKSUMS) === 0) return 0n;
    const checksum = Number(BigInt.asUintN(32, xxh3(value, sequence ^ this.#hashOf(slot))));
    this.#file.setU32(this.#region.attributesAt(slot) + ATTRIBUTES.checksums + 4 * buffer, checksum);
    return Descriptor.checked;
  }

  /** Zeroes what a buffer holds and says so in its descriptor. */
  #scrub(slot: number, buffer: 0 | 1): void {
    const descriptor = this.#descriptor(slot, buffer);
    const at = this.#region.valueAt(slot, buffer);
    this.#file.zero(at, at + this.#heldBytes(descriptor));
    this.#setDescriptor(slot, buffer, Descriptor.make(0, Descriptor.keyBytes(descriptor), 0n));
  }

  /** Zeroes what a buffer holds behind its value. */
  #scrubTail(slot: number, buffer: 0 | 1): void {
    const descriptor = this.#descriptor(slot, buffer);
    const at = this.#region.valueAt(slot, buffer);
    this.#file.zero(at + this.#valueBytes(descriptor), at + this.#heldBytes(descriptor));
    this.#setDescriptor(slot, buffer, descriptor & ~Descriptor.dirty);
  }

  /** Zeroes a key, if there is one. */
  #zeroKey(slot: number): void {
    const at = this.#region.slotAt(slot);
    // No key begins with zeros.
    if (this.#file.u64(at + SLOT.key) !== 0n) this.#file.zero(at + SLOT.key, at + this.#layout.slotStride);
  }

  /** The length of a value, no more than a value can have. */
  #valueBytes(descriptor: bigint): number {
    return Math.min(Descriptor.valueBytes(descriptor), this.#region.geometry.maxValueBytes);
  }

  /** How many bytes of a buffer may hold something. */
  #heldBytes(descriptor: bigint): number {
    return (descriptor & Descriptor.dirty) !== 0n ? this.#region.geometry.maxValueBytes : this.#valueBytes(descriptor);
  }

  #descriptor(slot: number, buffer: 0 | 1): bigint {
    return this.#file.u64(this.#region.slotAt(slot) + SLOT.descriptors + 8 * buffer);
  }

  #setDescriptor(slot: number, buffer: 0 | 1, descriptor: bigint): void {
    this.#file.setU64(this.#region.slotAt(slot) + SLOT.descriptors + 8 * buffer, descriptor);
  }

  #setCtl(slot: number, ctl: bigint): void {
    this.#file.setU64(this.#region.slotAt(slot) + SLOT.ctl, ctl);
  }

  #setPending(slot: number, note: number): void {
    this.#file.setU32(this.#region.slotAt(slot) + SLOT.pending, note);
  }

  #setDeadline(slot: number, buffer: 0 | 1, deadline: bigint): void {
    this.#file.setU64(this.#region.attributesAt(slot) + ATTRIBUTES.deadlines + 8 * buffer, deadline);
  }

  #noteDeadlineOf(slot: number, ctl: bigint, flags: bigint): void {
    if ((flags & Descriptor.timed) !== 0n) this.#noteDeadline(this.#region.deadline(slot, ctl));
  }

  /** Sees to it that the next sweep comes in time for a deadline. */
  #noteDeadline(deadline: bigint): void {
    if (this.#file.u64(HEADER.nextDeadline) > deadline) this.#file.setU64(HEADER.nextDeadline, deadline);
  }

  #hashOf(slot: number): bigint {
    return this.#file.u64(this.#region.attributesAt(slot) + ATTRIBUTES.hash);
  }

  #markFree(slot: number, isFree: boolean): void {
    const index = Math.floor(slot / 64);
    const at = this.#layout.free + 8 * index;
    const bit = 1n << BigInt(slot % 64);
    const word = this.#file.u64(at);
    this.#file.setU64(at, isFree ? word | bit : word & ~bit);
    if (isFree) this.#file.setU32(HEADER.freeHint, index);
  }

  #lockSlot(slot: number): void {
    this.#unfinished = slot;
    this.#file.setU64(this.#region.slotAt(slot) + SLOT.lock, this.#token);
  }

  #unlockSlot(slot: number): void {
    this.#file.setU64(this.#region.slotAt(slot) + SLOT.lock, 0n);
    this.#unfinished = undefined;
  }

  #stripeAt(chunk: number): number {
    return this.#layout.stripes + (chunk % STRIPES) * STRIPE_BYTES;
  }

  #lockStripe(chunk: number): void {
    const at = this.#stripeAt(chunk);
    // Counts may be too high then.
    if (this.#file.u64(at) !== 0n) this.#file.setU32(HEADER.recount, 1);
    this.#file.setU64(at, this.#token);
  }

  #unlockStripe(chunk: number): void {
    this.#file.setU64(this.#stripeAt(chunk), 0n);
  }
}

function other(buffer: 0 | 1): 0 | 1 {
  return buffer === 0 ? 1 : 0;
}

function bytesOf(number: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, number, true);
  return bytes;
}
