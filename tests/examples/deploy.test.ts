/** The service for Deno Deploy: as it runs there, and where native code is forbidden. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Splinter } from "../../ts/bun/mod.ts";
import { PATIENCE_MS, soon, TempDir } from "../../ts/tests/suite.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** How many primes there are below a number. */
const PRIMES = new Map([[0, 0], [2, 0], [3, 1], [100, 25], [100_000, 9592], [1_000_000, 78_498], [1_234_567, 95_360]]);

/** One run of the service. */
class Service implements AsyncDisposable {
  readonly lines: string[] = [];
  readonly #child;
  readonly #ended: Promise<number | null>;
  #url = "";

  private constructor(allowed: string[], env: Record<string, string>) {
    const args = ["run", "--quiet", "--no-prompt", "--config", `${root}deno.json`, ...allowed];
    this.#child = spawn(`${root}node_modules/.bin/deno`, [...args, `${root}examples/deploy/main.ts`], {
      env: { ...process.env, PORT: "0", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#ended = new Promise((resolve) => this.#child.on("close", resolve));
  }

  static async start(allowed: string[], env: Record<string, string>): Promise<Service> {
    const service = new Service(allowed, env);
    await soon(
      new Promise<void>((resolve, reject) => {
        for (const stream of [service.#child.stdout, service.#child.stderr]) {
          createInterface({ input: stream }).on("line", (line) => {
            service.lines.push(line);
            const port = /Listening on port (\d+)/.exec(line)?.[1];
            if (port === undefined) return;
            service.#url = `http://127.0.0.1:${port}`;
            resolve();
          });
        }
        void service.#ended.then(() => reject(new Error(service.lines.join("\n"))));
      }),
    );
    return service;
  }

  get(path: string, init?: RequestInit): Promise<Response> {
    return fetch(this.#url + path, init);
  }

  async stats(): Promise<Record<string, number | string>> {
    return await (await this.get("/stats")).json() as Record<string, number | string>;
  }

  /** Asks it to end, and returns its status. */
  end(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal);
    return soon(this.#ended);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }
}

const WAYS = [
  { engine: "native", signal: "SIGINT", allowed: ["--allow-all"] },
  {
    engine: "native",
    signal: "SIGTERM",
    allowed: ["--allow-net", "--allow-ffi", "--allow-read", "--allow-write", "--allow-env"],
  },
  {
    engine: "file",
    signal: "SIGTERM",
    allowed: ["--allow-net=0.0.0.0:0", "--allow-read", "--allow-write", "--allow-env=PORT,SPLINTER_STORE,TMPDIR"],
  },
] as const;

for (const { engine, signal, allowed } of WAYS) {
  test(
    `by the engine "${engine}", with ${allowed[0]}, requests and workers share what was found, until ${signal}`,
    async () => {
      using directory = new TempDir();
      await using service = await Service.start([...allowed], { TMPDIR: directory.path });
      assert.equal(await (await service.get("/health")).text(), "ok\n");
      for (const isKnown of [false, true]) {
        await Promise.all([...PRIMES].map(async ([limit, count]) => {
          const response = await service.get(`/primes/${limit}`);
          assert.deepEqual(await response.json(), { limit, count });
          assert.equal(response.headers.get("x-cache"), isKnown ? "hit" : "miss");
        }));
      }
      const stats = await service.stats();
      assert.deepEqual([stats.engine, stats.hits, stats.misses], [engine, PRIMES.size, PRIMES.size]);
      // Of its twenty parts twelve were parts of smaller numbers, whichever worker has counted them.
      await (await service.get("/primes/2000000")).json();
      assert.equal((await service.stats()).counted, Number(stats.counted) + 8);
      assert.equal((await service.get("/primes/x")).status, 404);
      assert.equal((await service.get("/primes/99999999999")).status, 404);
      assert.equal((await service.get("/health", { method: "POST" })).status, 405);

      // What was asked before the end is answered.
      const last = service.get("/primes/10000000");
      for (const end = Date.now() + PATIENCE_MS; (await service.stats()).misses !== PRIMES.size + 2;) {
        assert.ok(Date.now() < end, "It was not asked");
      }
      const ended = service.end(signal);
      assert.deepEqual(await (await soon(last)).json(), { limit: 10_000_000, count: 664_579 });
      assert.equal(await ended, 0);
      assert.equal(service.lines.at(-1), "Closed");
      assert.deepEqual(readdirSync(directory.path), []);
    },
    2 * PATIENCE_MS,
  );

  test(`by the engine "${engine}", with ${allowed[0]}, a store that is named outlives the service`, async () => {
    using directory = new TempDir();
    const path = directory.file();
    for (const isKnown of [false, true]) {
      await using service = await Service.start([...allowed], { SPLINTER_STORE: path });
      const response = await service.get("/primes/100");
      assert.equal(response.headers.get("x-cache"), isKnown ? "hit" : "miss");
      assert.deepEqual(await response.json(), { limit: 100, count: 25 });
      assert.equal(await service.end(signal), 0);
    }
    using store = Splinter.open(path);
    assert.equal(store.getJSON("below/100"), 25);
  }, 2 * PATIENCE_MS);
}
