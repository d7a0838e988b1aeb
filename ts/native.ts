/**
 * What the class needs from a runtime: the native functions, and the few conversions that each runtime does in its own
 * way.
 *
 * @module
 */
import type { Socket } from "node:net";
import type { Memory } from "./scratch.ts";

/** An open store as the native library knows it. Only runtimes look inside. */
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
   * Finds a file of an installed package.
   *
   * @throws {Error} If there is no such package.
   */
  resolve(specifier: string): string;

  /**
   * Makes sure that the runtime's user has allowed the access, since native code would not be stopped.
   *
   * @throws {PermissionError} If not.
   */
  permit(path: string, access: "read" | "write"): void;

  /** Copies from a place in memory, a multiple of 8, to bytes of their own. */
  copyOut(memory: Memory, at: number, length: number): Uint8Array<ArrayBuffer>;

  /** Takes charge of a descriptor, the end of a socket pair. */
  adopt(descriptor: number): Socket;
}
