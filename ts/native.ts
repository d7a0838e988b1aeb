/**
 * What the class needs from a runtime: the native functions, and the few conversions that each runtime does in its own
 * way.
 *
 * @module
 */
import type { Socket } from "node:net";
import type { Memory } from "./scratch.ts";

/** An open store, or a key of one, as the native library knows it. Only runtimes look inside. */
export type Handle = object | number | bigint;

/**
 * The native functions, named as in `splinter_bus.h`, which also says what they do. A `null` handle gives CLOSED. Each
 * length goes with the bytes before it.
 */
export interface Native {
  spl_abi(): number;
  spl_open(how: number, name: Uint8Array, nameLength: number, options: Uint8Array, error: Uint8Array): Handle | null;
  spl_close(store: Handle | null): number;
  spl_remove(kind: number, name: Uint8Array, nameLength: number, error: Uint8Array): number;
  spl_path(store: Handle | null, buffer: Uint8Array, capacity: number): number;
  spl_header_snapshot(store: Handle | null, out: Uint8Array): number;
  spl_auto_vacuum(store: Handle | null): number;
  spl_set_auto_vacuum(store: Handle | null, on: number): number;
  spl_sync(store: Handle | null, error: Uint8Array): number;
  spl_sync_failure(store: Handle | null, error: Uint8Array): number;
  spl_recovery(store: Handle | null, recovery: Uint8Array): number;
  spl_backup(store: Handle | null, path: Uint8Array, pathLength: number, error: Uint8Array): number;
  spl_scan(
    store: Handle | null,
    cursor: Uint8Array,
    prefix: Uint8Array,
    prefixLength: number,
    buffer: Uint8Array,
    capacity: number,
  ): number;
  spl_handle_id(store: Handle | null): number;
  spl_selector(store: Handle | null, error: Uint8Array): number;
  spl_watch(
    store: Handle | null,
    kind: number,
    pattern: Uint8Array,
    patternLength: number,
    flags: number,
    from: Uint8Array,
    error: Uint8Array,
  ): number;
  spl_changes(store: Handle | null, flags: number, from: Uint8Array, error: Uint8Array): number;
  spl_unwatch(store: Handle | null, id: number): number;
  spl_ready(store: Handle | null, ids: Uint8Array, capacity: number): number;
  spl_next(store: Handle | null, id: number, buffer: Uint8Array, capacity: number): number;
  spl_scratch(store: Handle | null, scratch: Uint8Array, length: number): number;
  spl_scratch_get(store: Handle | null, keyLength: number): number;
  spl_scratch_get_into(store: Handle | null, keyLength: number, buffer: Uint8Array, capacity: number): number;
  spl_scratch_set(store: Handle | null, keyLength: number, valueLength: number): number;
  spl_scratch_try_set(store: Handle | null, keyLength: number, valueLength: number): number;
  spl_scratch_set_from(store: Handle | null, keyLength: number, value: Uint8Array, valueLength: number): number;
  spl_scratch_try_set_from(store: Handle | null, keyLength: number, value: Uint8Array, valueLength: number): number;
  spl_scratch_unset(store: Handle | null, keyLength: number): number;
  spl_scratch_try_unset(store: Handle | null, keyLength: number): number;
  spl_scratch_contains(store: Handle | null, keyLength: number): number;
  spl_scratch_epoch(store: Handle | null, keyLength: number): number;
  spl_scratch_slot_snapshot(store: Handle | null, keyLength: number): number;
  spl_scratch_poll(store: Handle | null, keyLength: number, timeoutMs: number): number;
  spl_get_many(
    store: Handle | null,
    keys: Uint8Array,
    keysLength: number,
    buffer: Uint8Array,
    capacity: number,
    done: Uint8Array,
  ): number;
  spl_set_many(store: Handle | null, entries: Uint8Array, entriesLength: number, done: Uint8Array): number;
  spl_key(store: Handle | null, key: Uint8Array, keyLength: number, error: Uint8Array): Handle | null;
  spl_key_close(key: Handle | null): number;
  spl_key_get(key: Handle | null, buffer: Uint8Array, capacity: number): number;
  spl_key_set(key: Handle | null, value: Uint8Array, valueLength: number): number;
  spl_key_append(key: Handle | null, value: Uint8Array, valueLength: number): number;
  spl_key_unset(key: Handle | null): number;
  spl_key_exists(key: Handle | null): number;
  spl_key_changed(key: Handle | null): number;
  spl_key_scratch_get(key: Handle | null): number;
  spl_key_scratch_set(key: Handle | null, valueLength: number): number;
  spl_key_scratch_set_typed(key: Handle | null, valueLength: number, valueType: number): number;
  spl_key_scratch_epoch(key: Handle | null): number;
  spl_get_entry(
    store: Handle | null,
    key: Uint8Array,
    keyLength: number,
    buffer: Uint8Array,
    capacity: number,
    version: Uint8Array,
  ): number;
  spl_view(store: Handle | null, key: Uint8Array, keyLength: number, view: Uint8Array): number;
  spl_view_is_whole(store: Handle | null, view: Uint8Array): number;
  spl_name_label(store: Handle | null, label: number, name: Uint8Array, nameLength: number): number;
  spl_label_names(store: Handle | null, buffer: Uint8Array, capacity: number): number;
  spl_sweep(store: Handle | null): number;
  spl_eviction(store: Handle | null): number;
  spl_set_eviction(store: Handle | null, policy: number): number;
  spl_scratch_set_typed(store: Handle | null, keyLength: number, valueLength: number, valueType: number): number;
  spl_scratch_set_with(store: Handle | null, keyLength: number, valueLength: number): number;
  spl_scratch_set_with_from(store: Handle | null, keyLength: number, value: Uint8Array, valueLength: number): number;
  spl_scratch_unset_if_epoch(store: Handle | null, keyLength: number): number;
  spl_scratch_get_entry(store: Handle | null, keyLength: number): number;
  spl_scratch_append(store: Handle | null, keyLength: number, valueLength: number): number;
  spl_scratch_append_from(store: Handle | null, keyLength: number, value: Uint8Array, valueLength: number): number;
  spl_scratch_apply(store: Handle | null, keyLength: number, operation: number): number;
  spl_scratch_expire(store: Handle | null, keyLength: number, ttlMs: bigint): number;
  spl_scratch_persist(store: Handle | null, keyLength: number): number;
  spl_scratch_ttl(store: Handle | null, keyLength: number): number;
  spl_scratch_pin(store: Handle | null, keyLength: number, on: number): number;
  spl_scratch_labels(store: Handle | null, keyLength: number): number;
  spl_scratch_label(store: Handle | null, keyLength: number): number;
}

/** What an open store needs of them. */
export type Opened = Omit<Native, "spl_abi" | "spl_open" | "spl_remove">;

/** A file that nobody else can lock: until this is disposed of, or the process ends. */
export interface FileLock extends Disposable {
  /** The file, by its device and its number there, as "DEVICE:NUMBER". */
  readonly inode: string;
}

/** One runtime. */
export interface Runtime {
  /**
   * Loads the native library, for as long as the process lives.
   *
   * @throws {PermissionError} If the runtime's user has not allowed it.
   * @throws {Error} If that is not our library.
   */
  load(path: string): Native;

  /**
   * Reads an environment variable.
   *
   * @throws {PermissionError} If the runtime's user has not allowed it.
   */
  env(name: string): string | undefined;

  /**
   * Makes sure that the runtime's user has allowed the access, since native code would not be stopped.
   *
   * @throws {PermissionError} If not.
   */
  permit(path: string, access: "read" | "write"): void;

  /** Copies from a place in memory to bytes of their own. */
  copyOut(memory: Memory, at: number, length: number): Uint8Array<ArrayBuffer>;

  /**
   * Shows memory where it lies, as bytes whose buffer can be detached.
   *
   * @returns The bytes, or `null` if the runtime's user has not allowed that.
   */
  lookAt(address: bigint, length: number): Uint8Array<ArrayBuffer> | null;

  /**
   * Takes a file for itself, as `flock` does. Only where the runtime has that without foreign functions.
   *
   * @returns The lock, or `null` if somebody has one already.
   * @throws {Error} If there is no such file, or it must not be written.
   */
  lockFile?(path: string): FileLock | null;

  /** Takes charge of a descriptor, the end of a socket pair. */
  adopt(descriptor: number): Socket;
}
