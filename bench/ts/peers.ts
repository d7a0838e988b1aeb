/** What a user could take instead of us, each with a place of its own to keep things. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Database, RootDatabase } from "lmdb";
import manifest from "../../package.json" with { type: "json" };
import type { Skipped } from "../schema.ts";
import type { Redis, Runtime } from "./runtime.ts";

/** How long a server may take to answer for the first time, in milliseconds. */
const PATIENCE_MS = 10_000;

/** An environment of LMDB with two databases. */
export interface LmdbDatabases {
  readonly environment: RootDatabase;
  readonly bytes: Database<Uint8Array, string>;
  readonly text: Database<string, string>;
}

/** The peers that can be had here. */
export class Peers {
  readonly versions: Record<string, string> = {};
  readonly skipped: Skipped[] = [];
  readonly runtime: Runtime;
  readonly #directory: string;
  #lmdb: typeof import("lmdb") | undefined;
  #server: ChildProcess | undefined;

  private constructor(runtime: Runtime, directory: string) {
    this.runtime = runtime;
    this.#directory = directory;
  }

  /**
   * Finds the peers, and starts those that are servers.
   *
   * @param runtime The runtime.
   * @param directory Where they may make files.
   * @returns The peers.
   */
  static async start(runtime: Runtime, directory: string): Promise<Peers> {
    const peers = new Peers(runtime, directory);
    const sqlite = runtime.openSqlite(":memory:");
    const { version } = sqlite.prepare("SELECT sqlite_version() AS version").get() as { version: string };
    peers.versions[`SQLite of ${runtime.sqliteName}`] = version;
    sqlite.close();
    await peers.#findLmdb();
    await peers.#startRedis();
    return peers;
  }

  /** The path of the socket of Redis, if there is a Redis. */
  get redisSocket(): string | undefined {
    return this.#server && join(this.#directory, "redis.sock");
  }

  /** Opens an environment of LMDB, or gives `null` if there is no LMDB. */
  openLmdb(path: string): LmdbDatabases | null {
    if (this.#lmdb === undefined) return null;
    // Nothing of ours waits for a disk here, so it must not either.
    const environment = this.#lmdb.open({ path, noSync: true });
    return {
      environment,
      bytes: environment.openDB<Uint8Array, string>({ name: "bytes", encoding: "binary" }),
      text: environment.openDB<string, string>({ name: "text", encoding: "string" }),
    };
  }

  /** Opens a connection to Redis, or gives `null` if there is no Redis. */
  async redis(): Promise<Redis | null> {
    return this.redisSocket === undefined ? null : await this.runtime.connectRedis(this.redisSocket);
  }

  /** Ends what was started. */
  stop(): void {
    this.#server?.kill("SIGKILL");
  }

  async #findLmdb(): Promise<void> {
    try {
      this.#lmdb = await import("lmdb");
      this.versions["lmdb (npm)"] = manifest.devDependencies.lmdb;
    } catch {
      // The message would name paths of this machine.
      this.skipped.push({ what: "lmdb", why: "the npm package is not installed, or has no program for this machine" });
    }
  }

  async #startRedis(): Promise<void> {
    const { error, stdout } = spawnSync("redis-server", ["--version"], { encoding: "utf8" });
    if (error !== undefined) {
      this.skipped.push({ what: "Redis", why: "`redis-server` is not installed" });
      return;
    }
    this.versions["Redis"] = /v=(\S+)/.exec(stdout)?.[1] ?? "unknown";
    if (this.runtime.redisName in manifest.devDependencies) {
      this.versions["ioredis"] = manifest.devDependencies.ioredis;
    }
    const arguments_ = ["--port", "0", "--unixsocket", join(this.#directory, "redis.sock"), "--save", ""];
    const server = spawn("redis-server", [...arguments_, "--dir", this.#directory], { stdio: "ignore" });
    this.#server = server;
    const end = performance.now() + PATIENCE_MS;
    while (!existsSync(this.redisSocket!)) {
      if (server.exitCode !== null || performance.now() > end) throw new Error("redis-server did not start");
      await Promise.race([once(server, "exit"), new Promise((resolve) => setTimeout(resolve, 10))]);
    }
  }
}
