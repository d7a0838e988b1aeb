/**
 * A web service that shares what it has worked out between requests and workers, in a store of this instance. Runs as it is on
 * Deno Deploy, and anywhere else:
 *
 *     deno run --allow-net --allow-ffi --allow-read --allow-write --allow-env main.ts
 *     curl localhost:8000/primes/1000000
 *
 * Without `--allow-ffi` it goes on without native code. The variable `SPLINTER_STORE` names a store that outlives the process, and
 * `PORT` a port.
 */
import { LibraryError, PermissionError, Splinter, type SplinterOptions, type Store } from "splinter-bus";
import { LIMIT, Pool } from "./pool.ts";

/** Deno Deploy kills an instance five seconds after it has asked it to end. */
const GRACE_MS = 4000;

const options: SplinterOptions = { slots: 1024, maxValueSize: 64, eviction: "lru" };

/** Opens the store natively, or without native code where that is forbidden or not there. */
function open(path: string): { store: Store; engine: "native" | "file" } {
  try {
    return { store: Splinter.openOrCreate(path, options), engine: "native" };
  } catch (error) {
    if (!(error instanceof PermissionError || error instanceof LibraryError)) throw error;
    console.warn(`Going on without native code: ${error.message}`);
    return { store: Splinter.openOrCreate(path, { ...options, engine: "file" }), engine: "file" };
  }
}

const given = Deno.env.get("SPLINTER_STORE");
const directory = given ? undefined : Deno.makeTempDirSync({ prefix: "splinter-" });
const path = given || `${directory}/cache.splinter`;
const { store, engine } = open(path);
const pool = new Pool(store, path, engine);
const instance = crypto.randomUUID();
const started = Date.now();
let requests = 0;

async function answer(request: Request): Promise<Response> {
  requests++;
  const { pathname } = new URL(request.url);
  if (request.method !== "GET") return new Response("Only GET\n", { status: 405, headers: { allow: "GET" } });
  if (pathname === "/health") return new Response("ok\n");
  if (pathname === "/stats") {
    const { hits, misses, counted } = pool;
    const keys = store.list(Infinity).length;
    return Response.json({ instance, engine, uptimeMs: Date.now() - started, requests, hits, misses, counted, keys });
  }
  const limit = Number(/^\/primes\/(\d+)$/.exec(pathname)?.[1] ?? NaN);
  if (!(limit <= LIMIT)) return new Response(`Ask for /primes/N, N up to ${LIMIT}\n`, { status: 404 });
  const { count, isCached } = await pool.primesBelow(limit);
  return Response.json({ limit, count }, { headers: { "x-cache": isCached ? "hit" : "miss" } });
}

const server = Deno.serve({
  port: Number(Deno.env.get("PORT") || 8000),
  onListen: ({ port }) => console.log(`Listening on port ${port}, by the engine "${engine}"`),
}, answer);

/** Answers what was asked, as far as there is time, and leaves nothing behind. */
async function end(): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, GRACE_MS));
  await Promise.race([server.shutdown(), late]);
  clearTimeout(timer);
  pool.close();
  store.close();
  if (directory !== undefined) Deno.removeSync(directory, { recursive: true });
  console.log("Closed");
  Deno.exit();
}

let isEnding = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    if (isEnding) return;
    isEnding = true;
    void end();
  });
}
