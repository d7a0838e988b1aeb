/** The same keys and values in our store and in every peer. */
import { join } from "node:path";
import type { Store } from "../../ts/store.ts";
import type { Key } from "../../ts/types.ts";
import { OPERATIONS } from "./measure.ts";
import type { LmdbDatabases, Peers } from "./peers.ts";
import type { Functions, Redis, Runtime, Sqlite, SqliteStatement } from "./runtime.ts";

/** Keys in one call of those that take many. */
export const BATCH = 64;

/** What there is to measure with. */
export interface Bench {
  readonly runtime: Runtime;
  readonly functions: Functions;
  readonly peers: Peers;
  /** The native library. */
  readonly libPath: string;
  /** Where files are made. */
  readonly directory: string;
}

/** How many keys there are, and how long their values are. */
export interface Shape {
  readonly keys: number;
  readonly bytes: number;
}

/** A database of SQLite with its statements. */
interface SqliteTables {
  readonly name: string;
  readonly database: Sqlite;
  readonly select: SqliteStatement;
  readonly selectText: SqliteStatement;
  readonly insert: SqliteStatement;
}

/** The keys and values of one case, wherever they are. */
export class Loaded {
  readonly shape: Shape;
  readonly functions: Functions;
  /** The value of every key, whose JSON is as long as the case says. */
  readonly object: { celsius: number; note: string };
  readonly text: string;
  readonly value: Uint8Array<ArrayBuffer>;
  /** One value has room. */
  readonly buffer: Uint8Array<ArrayBuffer>;
  /** The key of each operation. */
  readonly picks: string[];
  /** The same by their handles. */
  readonly keys: Key[];
  /** The same in batches. */
  readonly batches: string[][];
  readonly entries: (readonly [key: string, value: Uint8Array<ArrayBuffer>])[][];
  /** Keys that nobody has. */
  readonly absent: string[];
  readonly store: Store;
  readonly sterile: Store;
  readonly map: Map<string, Uint8Array<ArrayBuffer>>;
  readonly texts: Map<string, string>;
  readonly sqlite: SqliteTables;
  readonly lmdb: LmdbDatabases | null;
  readonly redis: Redis | null;

  private constructor({ runtime, functions, peers, libPath, directory }: Bench, shape: Shape, redis: Redis | null) {
    const { keys: count, bytes } = shape;
    this.shape = shape;
    this.functions = functions;
    this.object = objectOf(bytes);
    this.text = JSON.stringify(this.object);
    this.value = new TextEncoder().encode(this.text);
    this.buffer = new Uint8Array(bytes);
    const names = Array.from({ length: count }, (_, i) => `sensor/${digits(i)}`);
    const draws = drawn(count);
    this.picks = draws.map((i) => names[i]);
    this.batches = Array.from({ length: OPERATIONS / BATCH }, (_, i) => this.picks.slice(i * BATCH, (i + 1) * BATCH));
    this.entries = this.batches.map((batch) => batch.map((name) => [name, this.value] as const));
    this.absent = draws.map((i) => `absent/${digits(i)}`);

    const base = join(directory, `${count}-${bytes}${redis === null ? "" : "-redis"}`);
    const options = { slots: 2 * count, maxValueSize: bytes, libPath };
    this.store = runtime.Splinter.create(`${base}.splinter`, { ...options, autoVacuum: false });
    this.sterile = runtime.Splinter.create(`${base}-sterile.splinter`, options);
    for (const name of names) {
      this.store.set(name, this.value);
      this.sterile.set(name, this.value);
    }
    const handles = names.map((name) => this.store.key(name));
    this.keys = draws.map((i) => handles[i]);
    this.map = new Map(names.map((name) => [name, this.value.slice()]));
    this.texts = new Map(names.map((name) => [name, this.text]));
    this.sqlite = this.#sqlite(runtime, `${base}.sqlite`, names);
    this.lmdb = this.#lmdb(peers, `${base}.lmdb`, names);
    this.redis = redis;
  }

  /**
   * Puts the keys and values of a case everywhere.
   *
   * @param bench With what.
   * @param shape The case.
   * @param redis Where Redis is, if it is to have them too.
   * @returns What is there.
   */
  static async load(bench: Bench, shape: Shape, redis: Redis | null): Promise<Loaded> {
    const loaded = new Loaded(bench, shape, redis);
    if (redis !== null) await Promise.all([...loaded.map].map(([name, value]) => redis.set(name, value)));
    return loaded;
  }

  /** Closes everything. */
  async close(): Promise<void> {
    this.store.close();
    this.sterile.close();
    this.sqlite.database.close();
    await this.lmdb?.environment.close();
    this.redis?.close();
  }

  #sqlite(runtime: Runtime, path: string, names: readonly string[]): SqliteTables {
    const database = runtime.openSqlite(path);
    database.exec("PRAGMA journal_mode = WAL");
    database.exec("PRAGMA synchronous = OFF");
    for (const table of ["bytes", "texts"]) {
      database.exec(`CREATE TABLE ${table} (key TEXT PRIMARY KEY, value) WITHOUT ROWID`);
    }
    const upsert = "(key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    const insert = database.prepare(`INSERT INTO bytes ${upsert}`);
    const insertText = database.prepare(`INSERT INTO texts ${upsert}`);
    database.exec("BEGIN");
    for (const name of names) {
      insert.run(name, this.value);
      insertText.run(name, this.text);
    }
    database.exec("COMMIT");
    return {
      name: runtime.sqliteName,
      database,
      select: database.prepare("SELECT value FROM bytes WHERE key = ?"),
      selectText: database.prepare("SELECT value FROM texts WHERE key = ?"),
      insert,
    };
  }

  #lmdb(peers: Peers, path: string, names: readonly string[]): LmdbDatabases | null {
    const lmdb = peers.openLmdb(path);
    lmdb?.environment.transactionSync(() => {
      for (const name of names) {
        lmdb.bytes.putSync(name, this.value);
        lmdb.text.putSync(name, this.text);
      }
    });
    return lmdb;
  }
}

/** Makes an object whose JSON has a given length. */
function objectOf(bytes: number): { celsius: number; note: string } {
  const object = { celsius: 21.5, note: "" };
  return { ...object, note: "x".repeat(bytes - JSON.stringify(object).length) };
}

function digits(i: number): string {
  return String(i).padStart(5, "0");
}

/** Draws numbers below a bound, the same ones each time. */
function drawn(bound: number): number[] {
  let state = 1;
  return Array.from({ length: OPERATIONS }, () => {
    // The generator "xorshift32".
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  });
}
