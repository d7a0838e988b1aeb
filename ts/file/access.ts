/**
 * The bytes of a store's file, by reads and writes at places.
 *
 * Others may have the file mapped and change it meanwhile. A read sees what they stored, for a mapping and a read share the
 * pages of one kernel. What orders several accesses:
 *
 * - Reads by separate calls are ordered: between the copying of one and that of the next the kernel gives a page back and takes
 *   one, each by an atomic that is a full barrier. Within one call nothing is ordered.
 * - Writes by separate calls are ordered for those who read, because each is made under the lock of the file's inode, whose
 *   release and next taking keep what is before from being seen after.
 * - An aligned number of 8 bytes or less is copied whole. No standard says so, but no processor of x86-64 or arm64 is known to
 *   copy so few bytes in pieces. What matters most does not rest on it: the buffer of a value, and whether it is being changed,
 *   are told by one byte of a slot's state.
 *
 * @module
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import * as errors from "../errors.ts";

/** Links that only the owner of a descriptor could make. */
const DESCRIPTOR = /^\/(proc\/(self|\d+)|dev)\/fd\/\d+$/;

/** How much is zeroed or copied by one call. */
const PIECE_BYTES = 65_536;
const ZEROS = new Uint8Array(PIECE_BYTES);

/**
 * Makes an error of what the system said.
 *
 * @param error What was thrown.
 * @param task What could not be done.
 * @returns The error.
 */
export function systemError(error: unknown, task: string): errors.SplinterError {
  if (error instanceof errors.SplinterError) return error;
  const { code, errno, message } = error as Error & { code?: string; errno?: number };
  const told = `Cannot ${task}: ${message}`;
  const options = { cause: error };
  switch (code) {
    case "ENOENT":
    case "ENOTDIR":
      return new errors.NoStoreError(`Cannot ${task}: There is no such store`, options);
    case "EEXIST":
      return new errors.ExistsError(`Cannot ${task}: The store exists already`, options);
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return new errors.PermissionError(told, options);
    case "ENOSPC":
    case "EDQUOT":
    case "EFBIG":
      return new errors.NoSpaceError(told, options);
    case "ELOOP":
      return new errors.NotAStoreError(`Cannot ${task}: Not a store: it is a symbolic link`, options);
    case "EISDIR":
      return new errors.NotAStoreError(`Cannot ${task}: Not a store: it is a directory`, options);
    case "ENXIO":
    case "ENODEV":
      return new errors.NotAStoreError(`Cannot ${task}: Not a store: it is not a regular file`, options);
  }
  // A runtime that forbids it says so in its own words.
  if (errno === undefined) return new errors.PermissionError(told, options);
  return new errors.IoError(told, { ...options, errno: Math.abs(errno) });
}

/** An open file. */
export class Access implements Disposable {
  readonly #fd: number;
  readonly #task: string;
  readonly #bytes = new Uint8Array(8);
  readonly #half = this.#bytes.subarray(0, 4);
  readonly #view = new DataView(this.#bytes.buffer);

  /**
   * Opens a file: without being led elsewhere by a symbolic link, and without waiting for the other end of a pipe.
   *
   * @param path Its path.
   * @param flags `O_RDONLY` or `O_RDWR`, and what belongs to a new file.
   * @param task What for, for messages.
   * @param mode The permission bits of a new file.
   */
  constructor(path: string, flags: number, task: string, mode?: number) {
    this.#task = task;
    const follow = DESCRIPTOR.test(path) ? 0 : constants.O_NOFOLLOW;
    try {
      this.#fd = openSync(path, flags | follow | constants.O_NONBLOCK | constants.O_NOCTTY, mode);
    } catch (error) {
      throw systemError(error, task);
    }
  }

  /** What the system tells of the file. */
  stat(): { bytes: number; isFile: boolean; inode: string } {
    const { size, ino, dev, ...stat } = fstatSync(this.#fd, { bigint: true });
    return {
      bytes: Number(size),
      isFile: (Number(stat.mode) & constants.S_IFMT) === constants.S_IFREG,
      inode: `${Number(dev)}:${Number(ino)}`,
    };
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  /**
   * Reads bytes.
   *
   * @param at Where in the file.
   * @param to Where to.
   * @returns Fewer than there is room for where the file ends.
   */
  readSome(at: number, to: Uint8Array): number {
    let done = 0;
    while (done < to.length) {
      let count: number;
      try {
        count = readSync(this.#fd, to, done, to.length - done, at + done);
      } catch (error) {
        throw systemError(error, "read the store");
      }
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  /**
   * Reads bytes that must be there.
   *
   * @param at Where in the file.
   * @param to Where to.
   */
  read(at: number, to: Uint8Array): void {
    if (this.readSome(at, to) < to.length) throw new errors.CorruptError("The file was cut while it was open");
  }

  /** Reads a number of 32 bits. */
  u32(at: number): number {
    this.read(at, this.#half);
    return this.#view.getUint32(0, true);
  }

  /** Reads a number of 64 bits. */
  u64(at: number): bigint {
    this.read(at, this.#bytes);
    return this.#view.getBigUint64(0, true);
  }

  /**
   * Writes bytes.
   *
   * @param at Where in the file.
   * @param from The bytes.
   */
  write(at: number, from: Uint8Array): void {
    for (let done = 0; done < from.length;) {
      try {
        done += writeSync(this.#fd, from, done, from.length - done, at + done);
      } catch (error) {
        throw systemError(error, this.#task);
      }
    }
  }

  /** Writes a number of 32 bits. */
  setU32(at: number, number: number): void {
    this.#view.setUint32(0, number, true);
    this.write(at, this.#half);
  }

  /** Writes a number of 64 bits. */
  setU64(at: number, number: bigint): void {
    this.#view.setBigUint64(0, number, true);
    this.write(at, this.#bytes);
  }

  /**
   * Zeroes bytes.
   *
   * @param from Where the first is.
   * @param to Where the first is that stays.
   */
  zero(from: number, to: number): void {
    for (let at = from; at < to; at += PIECE_BYTES) this.write(at, ZEROS.subarray(0, Math.min(to - at, PIECE_BYTES)));
  }

  /**
   * Puts space behind bytes, whatever they are: each is written anew.
   *
   * @param from Where the first is.
   * @param to Where the end is.
   */
  rewrite(from: number, to: number): void {
    const piece = new Uint8Array(PIECE_BYTES);
    for (let at = from; at < to; at += PIECE_BYTES) {
      const part = piece.subarray(0, Math.min(to - at, PIECE_BYTES));
      this.read(at, part);
      this.write(at, part);
    }
  }

  /** Makes the file so long. */
  resize(bytes: number): void {
    try {
      ftruncateSync(this.#fd, bytes);
    } catch (error) {
      throw systemError(error, this.#task);
    }
  }
}
