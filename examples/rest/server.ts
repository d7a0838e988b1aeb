/**
 * A store over HTTP, with Oak in Deno: keys are resources, changes are server-sent events, and a page shows them.
 *
 *     deno add jsr:@splinter/ffi jsr:@oak/oak
 *     deno run --allow-ffi --allow-read --allow-write --allow-net --allow-env server.ts app.splinter 8000
 *
 *     curl -i -X PUT -H "Content-Type: text/plain" -d hello localhost:8000/keys/greeting
 *     curl -i localhost:8000/keys/greeting
 *     curl -i localhost:8000/keys?prefix=greet
 *     curl -N localhost:8000/watch?prefix=greet
 *
 * The entity tag of a key is its epoch: with `If-Match` or `If-None-Match` a write depends on what was read. The server is for
 * this machine alone and asks nobody who he is: put it behind one that does before others reach it.
 */
import { Application, type Context, Router } from "@oak/oak";
import { type ErrorCode, Splinter, SplinterError, type ValueType } from "@splinter/ffi";

const PING_MS = 15_000;
const LIST_MAX = 1000;
const PREVIEW_LENGTH = 100;

/** Of an image or a sound the store does not know the format. */
const MEDIA_TYPES: Partial<Record<ValueType, string>> = {
  text: "text/plain; charset=utf-8",
  json: "application/json",
  biguint: "text/plain; charset=utf-8",
  bigint: "text/plain; charset=utf-8",
};

const STATUSES: Partial<Record<ErrorCode, number>> = {
  KEY_INVALID: 400,
  KEY_TOO_LONG: 400,
  VALUE_TOO_LARGE: 413,
  BUSY: 503,
  CLOSED: 503,
  FULL: 507,
  NO_SPACE: 507,
};

/** A refusal that the client is told. */
class Refusal extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

const [path, port = "8000"] = Deno.args;
if (!path) throw new Error("usage: server.ts STORE [PORT]");

const store = Splinter.openOrCreate(path);
const maxValueSize = store.getBusHeaderSnapshot().max_val_sz;
const page = await Deno.readTextFile(new URL("./page.html", import.meta.url));
const decoder = new TextDecoder();
const encoder = new TextEncoder();

const router = new Router()
  .get("/", (ctx) => {
    ctx.response.type = "text/html; charset=utf-8";
    ctx.response.body = page;
  })
  .get("/keys", (ctx) => {
    const { prefix, limit } = query(ctx);
    const keys = [];
    for (const { key, epoch, type, size } of store.scan({ prefix })) {
      if (keys.length === limit) break;
      keys.push({ key, epoch: `${epoch}`, type, size });
    }
    ctx.response.body = { keys };
  })
  .get("/keys/(.+)", (ctx) => {
    const entry = store.getEntry(keyOf(ctx));
    if (!entry) throw new Refusal(404, "NO_KEY", "There is no such key");
    ctx.response.headers.set("etag", tagOf(entry.epoch));
    if (names(ctx.request.headers.get("if-none-match"), entry.epoch)) {
      ctx.response.status = 304;
      return;
    }
    ctx.response.type = MEDIA_TYPES[entry.type] ?? "application/octet-stream";
    ctx.response.body = isNumber(entry) ? numberOf(entry) : entry.value;
  })
  .put("/keys/(.+)", async (ctx) => {
    const key = keyOf(ctx);
    const value = await bodyOf(ctx);
    const type = typeOf(ctx.request.headers.get("content-type") ?? "");
    if (type === "json") checkJson(value);
    const { before, after } = onCondition(ctx, key, (ifEpoch) => store.set(key, value, { type, ifEpoch }));
    ctx.response.headers.set("etag", tagOf(after));
    ctx.response.status = before === null ? 201 : 204;
  })
  .delete("/keys/(.+)", (ctx) => {
    const key = keyOf(ctx);
    onCondition(ctx, key, (ifEpoch) => {
      if (ifEpoch === null) throw new Refusal(404, "NO_KEY", "There is no such key");
      return store.unset(key, { ifEpoch });
    });
    ctx.response.status = 204;
  })
  .get("/watch", (ctx) => {
    ctx.response.type = "text/event-stream";
    ctx.response.headers.set("cache-control", "no-store");
    ctx.response.body = events(query(ctx).prefix);
  });

const app = new Application();
app.use(async (ctx, next) => {
  ctx.response.headers.set("x-content-type-options", "nosniff");
  try {
    await next();
    if (ctx.response.status === 404) throw new Refusal(404, "NO_RESOURCE", "There is no such resource");
  } catch (error) {
    refuse(ctx, error);
  }
});
app.use(router.routes());
app.use(router.allowedMethods());

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(signal, () => {
    store.close();
    Deno.exit();
  });
}
app.addEventListener("listen", () => console.log(`The store is at http://localhost:${port}/`));
// A client that goes away in the middle of an answer is no failure.
app.addEventListener("error", () => {});
await app.listen({ hostname: "127.0.0.1", port: Number(port) });

/** What a request asks for behind the question mark. */
function query(ctx: Context): { prefix: string; limit: number } {
  const { searchParams } = ctx.request.url;
  const limit = Number(searchParams.get("limit") ?? LIST_MAX);
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX) {
    throw new Refusal(400, "INVALID_ARGUMENT", `The limit must be a whole number from 1 to ${LIST_MAX}`);
  }
  return { prefix: searchParams.get("prefix") ?? "", limit };
}

/** The key that the path names. The router would leave some signs in it encoded. */
function keyOf(ctx: Context): string {
  return decodeURIComponent(ctx.request.url.pathname.slice("/keys/".length));
}

function tagOf(epoch: bigint): string {
  return `"${epoch}"`;
}

/** Whether a list of entity tags names what a key is now. */
function names(tags: string | null, epoch: bigint | null): boolean {
  if (tags === null || epoch === null) return false;
  return tags.split(",").some((tag) => ["*", tagOf(epoch), `W/${tagOf(epoch)}`].includes(tag.trim()));
}

/** Makes a change of what the client has seen, if it has said what that must be. */
function onCondition(
  ctx: Context,
  key: string,
  change: (ifEpoch: bigint | null) => { ok: boolean; epoch: bigint | null },
): { before: bigint | null; after: bigint } {
  const match = ctx.request.headers.get("if-match");
  const noneMatch = ctx.request.headers.get("if-none-match");
  for (;;) {
    const epoch = store.epoch(key);
    // It is odd while somebody writes: what the client can have seen is the version before.
    const before = epoch && epoch & ~1n;
    if ((match !== null && !names(match, before)) || names(noneMatch, before)) {
      throw new Refusal(412, "CONDITION_NOT_MET", "The key has been changed");
    }
    const result = change(before);
    // If not, somebody else was quicker, and the condition is looked at again.
    if (result.ok) return { before, after: result.epoch! };
  }
}

/** The body of a request, of which no more is kept than the store takes. */
async function bodyOf(ctx: Context): Promise<Uint8Array> {
  const bytes = new Uint8Array(maxValueSize);
  let length = 0;
  const tooLarge = new Refusal(413, "VALUE_TOO_LARGE", `A value has at most ${maxValueSize} bytes`);
  if (Number(ctx.request.headers.get("content-length")) > maxValueSize) throw tooLarge;
  for await (const chunk of ctx.request.body.stream ?? []) {
    if (length + chunk.length > maxValueSize) throw tooLarge;
    bytes.set(chunk, length);
    length += chunk.length;
  }
  return bytes.subarray(0, length);
}

function typeOf(mediaType: string): ValueType {
  if (/^application\/(.*\+)?json\b/.test(mediaType)) return "json";
  const [kind] = mediaType.split("/");
  return kind === "text" || kind === "image" || kind === "audio" ? kind : "binary";
}

function checkJson(value: Uint8Array): void {
  try {
    JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value));
  } catch {
    throw new Refusal(400, "INVALID_ARGUMENT", "The body is no JSON");
  }
}

function isNumber({ value, type }: { value: Uint8Array; type: ValueType }): boolean {
  return (type === "bigint" || type === "biguint") && value.length === 8;
}

function numberOf({ value, type }: { value: Uint8Array<ArrayBuffer>; type: ValueType }): string {
  const view = new DataView(value.buffer, value.byteOffset);
  return `${type === "bigint" ? view.getBigInt64(0, true) : view.getBigUint64(0, true)}`;
}

/** What exists, and then what changes, as server-sent events. Nothing piles up for a slow client but the keys that changed. */
function events(prefix: string): ReadableStream<Uint8Array> {
  const watch = store.watch({ prefix }, { initial: true, values: false });
  let next = watch.next();
  return new ReadableStream({
    async pull(controller) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      // A comment now and then keeps the connection, and finds out that it is gone.
      const ping = new Promise<"ping">((resolve) => timer = setTimeout(resolve, PING_MS, "ping"));
      const answer = await Promise.race([next, ping]);
      clearTimeout(timer);
      if (answer === "ping") return controller.enqueue(encoder.encode(": ping\n\n"));
      if (answer.done) return controller.close();
      next = watch.next();
      const { key, kind, epoch } = answer.value;
      const event = { key, kind, epoch: `${epoch}`, ...(kind === "set" && lookOf(key)) };
      controller.enqueue(encoder.encode(`data: ${JSON.stringify(event)}\n\n`));
    },
    async cancel() {
      await watch.return();
    },
  });
}

/** What the page shows of a value. */
function lookOf(key: string): { type: ValueType; size: number; preview: string } | null {
  const entry = store.getEntry(key);
  if (!entry) return null;
  const { type, value } = entry;
  const isText = type === "text" || type === "json";
  const preview = isNumber(entry) ? numberOf(entry) : isText ? decoder.decode(value.subarray(0, PREVIEW_LENGTH)) : "";
  return { type, size: value.length, preview };
}

/** Answers with an error, in JSON. */
function refuse(ctx: Context, error: unknown): void {
  let [status, code, message] = [500, "INTERNAL", "The server has failed"];
  if (error instanceof Refusal) ({ status, code, message } = error);
  else if (error instanceof URIError) [status, code, message] = [400, "INVALID_ARGUMENT", error.message];
  else if (error instanceof SplinterError) {
    [status, code, message] = [STATUSES[error.code] ?? 500, error.code, error.message];
  } else console.error(error);
  if (status === 503) ctx.response.headers.set("retry-after", "1");
  ctx.response.status = status;
  ctx.response.body = { error: { code, message } };
}
