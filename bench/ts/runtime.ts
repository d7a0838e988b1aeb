/** What the suite needs from a runtime. */
import type { SplinterConstructor } from "../../ts/splinter.ts";

/** One runtime. */
export interface Runtime {
  readonly name: "deno" | "bun";
  /** Of the runtime and of what is built into it. */
  readonly versions: Record<string, string>;
  readonly Splinter: SplinterConstructor;
  /** What is before the path of a script on the command line of the runtime. */
  readonly runArguments: readonly string[];
  /** The module of SQLite that the runtime brings along. */
  readonly sqliteName: string;
  /** The client of Redis that its users take. */
  readonly redisName: string;

  /** Finds the two functions in our library, or through it. */
  functions(libPath: string): Functions;

  openSqlite(path: string): Sqlite;

  connectRedis(socket: string): Promise<Redis>;
}

/** What is called by FFI beside the store. */
export interface Functions {
  /** Does nothing: a function without parameters, which is passed a buffer that it does not know of. */
  readonly bare: (buffer: Uint8Array<ArrayBuffer>) => number;
  /** Writes the time of a clock of the system into a `timespec`. */
  readonly clockGettime: (clock: number, timespec: Uint8Array<ArrayBuffer>) => number;
}

/** A database, in the form that `bun:sqlite` and `node:sqlite` share. */
export interface Sqlite {
  exec(sql: string): unknown;
  prepare(sql: string): SqliteStatement;
  close(): void;
}

export interface SqliteStatement {
  get(...parameters: (string | Uint8Array)[]): unknown;
  run(...parameters: (string | Uint8Array)[]): unknown;
}

/** A connection, in the form that the clients share. */
export interface Redis {
  get(key: string): Promise<Uint8Array | null>;
  getString(key: string): Promise<string | null>;
  getMany(keys: string[]): Promise<({ readonly length: number } | null)[]>;
  has(key: string): Promise<boolean>;
  set(key: string, value: string | Uint8Array<ArrayBuffer>): Promise<unknown>;
  publish(channel: string, message: string): Promise<unknown>;
  subscribe(channel: string, listener: (message: string) => void): Promise<unknown>;
  close(): void;
}

const CLOCK_MONOTONIC = 1;

/**
 * Makes the one clock that all processes share: those of the runtimes begin with their processes.
 *
 * @param functions What is called.
 * @returns A function that gives nanoseconds.
 */
export function sharedClock({ clockGettime }: Functions): () => number {
  const timespec = new BigInt64Array(2);
  const bytes = new Uint8Array(timespec.buffer);
  return () => {
    clockGettime(CLOCK_MONOTONIC, bytes);
    return Number(timespec[0]) * 1e9 + Number(timespec[1]);
  };
}
