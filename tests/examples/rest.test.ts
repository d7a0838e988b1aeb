/** The REST interface, by real requests, and its page in a real browser. */
import { afterAll, beforeAll, test } from "bun:test";
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { setImmediate } from "node:timers/promises";
import { chromium } from "playwright-core";
import { Splinter, type Store } from "splinter-bus";
import { PATIENCE_MS, soon, TempDir, turn } from "../../ts/tests/suite.ts";
import { Program } from "../program.ts";
import { deno } from "./program.ts";

let directory: TempDir;
let store: Store;
let server: Program;
let url: string;

beforeAll(async () => {
  directory = new TempDir();
  store = Splinter.create(directory.file(), { slots: 16, maxValueSize: 1000 });
  const port = await freePort();
  url = `http://127.0.0.1:${port}/`;
  const allowed = ["--allow-net", "--allow-env"];
  server = new Program(deno(allowed, "rest/server.ts", directory.file(), `${port}`), directory.path);
  await server.prints(/The store is at/);
  // Oak for Node.js says so a moment before it listens.
  for (const end = Date.now() + PATIENCE_MS; !await fetch(url).then(({ ok }) => ok, () => false);) {
    assert.ok(Date.now() < end, "The server does not answer");
    await turn();
  }
}, PATIENCE_MS);

afterAll(async () => {
  server.signal("SIGTERM");
  await server.succeeds();
  store.close();
  directory[Symbol.dispose]();
}, PATIENCE_MS);

/** A port that nobody listens on, at this moment. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const address = probe.address();
      assert.ok(address && typeof address === "object");
      probe.close(() => resolve(address.port));
    });
  });
}

function request(path: string, method = "GET", headers: Record<string, string> = {}, body?: string | Uint8Array) {
  return fetch(url + path, { method, headers, body });
}

async function refusal(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json() as { error: { code: string } }).error.code];
}

test("what is put is got, by everybody, with the type that it was put with", async () => {
  const cases: [string, string, string, string][] = [
    ["text", "text/plain", "grüße", "text/plain; charset=utf-8"],
    ["json", "application/json", '{"a":[1]}', "application/json"],
    ["image", "image/png", "no png", "application/octet-stream"],
    ["a/b c%?", "application/x-whatever", "\0\x01", "application/octet-stream"],
  ];
  for (const [key, type, value, answered] of cases) {
    const path = `keys/${encodeURIComponent(key)}`;
    const put = await request(path, "PUT", { "content-type": type }, value);
    assert.deepEqual([put.status, await put.text()], [201, ""]);
    assert.equal(store.getString(key), value);
    const got = await request(path);
    assert.deepEqual([got.status, await got.text(), got.headers.get("etag")], [200, value, put.headers.get("etag")]);
    assert.equal(
      got.headers.get("content-type")?.toLowerCase().replace(/^application\/json;.*/, "application/json"),
      answered,
    );
    assert.equal((await request(path, "HEAD")).status, 200);
    assert.equal((await request(path, "PUT", { "content-type": type }, value)).status, 204);
    assert.equal((await request(path, "DELETE")).status, 204);
    assert.equal(store.has(key), false);
    assert.deepEqual(await refusal(await request(path, "DELETE")), [404, "NO_KEY"]);
  }
  store.add("count", 7);
  store.set("count", 7n);
  assert.equal(await (await request("keys/count")).text(), "7");
  store.unset("count");
});

test("keys are listed by their prefix, as many as are asked for", async () => {
  for (const key of ["list/a", "list/b", "other"]) store.set(key, key);
  const list = async (query: string) => {
    const { keys } = await (await request(`keys?${query}`)).json() as { keys: { key: string }[] };
    return keys.map(({ key }) => key).sort();
  };
  assert.deepEqual(await list("prefix=list/"), ["list/a", "list/b"]);
  assert.deepEqual(await list(""), ["list/a", "list/b", "other"]);
  assert.equal((await list("limit=1")).length, 1);
  assert.deepEqual(await refusal(await request("keys?limit=0")), [400, "INVALID_ARGUMENT"]);
  for (const key of ["list/a", "list/b", "other"]) store.unset(key);
});

test("a write depends on what was read, and a read on what is known", async () => {
  const put = await request("keys/doc", "PUT", { "if-none-match": "*" }, "one");
  const tag = put.headers.get("etag")!;
  assert.equal(tag, `"${store.epoch("doc")}"`);
  assert.deepEqual(await refusal(await request("keys/doc", "PUT", { "if-none-match": "*" }, "two")), [
    412,
    "CONDITION_NOT_MET",
  ]);
  assert.equal((await request("keys/doc", "GET", { "if-none-match": tag })).status, 304);
  assert.equal((await request("keys/doc", "PUT", { "if-match": tag }, "two")).status, 204);
  assert.equal((await request("keys/doc", "GET", { "if-none-match": tag })).status, 200);
  for (const method of ["PUT", "DELETE"]) {
    const late = await request("keys/doc", method, { "if-match": tag }, method === "PUT" ? "three" : undefined);
    assert.deepEqual(await refusal(late), [412, "CONDITION_NOT_MET"]);
  }
  assert.equal(store.getString("doc"), "two");
  assert.equal((await request("keys/doc", "DELETE", { "if-match": `"1", "${store.epoch("doc")}"` })).status, 204);
  assert.deepEqual(await refusal(await request("keys/doc", "PUT", { "if-match": "*" }, "x")), [
    412,
    "CONDITION_NOT_MET",
  ]);
});

test("of many who change the same at once each is told whether it did", async () => {
  store.set("counter", "0");
  let done = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let i = 0; i < 10;) {
      const got = await request("keys/counter");
      const next = `${Number(await got.text()) + 1}`;
      const put = await request("keys/counter", "PUT", { "if-match": got.headers.get("etag")! }, next);
      assert.ok(put.status === 204 || put.status === 412);
      if (put.status === 204) i++, done++;
      await put.arrayBuffer();
    }
  }));
  assert.equal(store.getString("counter"), `${done}`);
  store.unset("counter");
}, PATIENCE_MS);

test("a write of the server's is its own, however fast another process writes the same key", async () => {
  const others = new Set<string>();
  store.set("hot", "");
  for (let i = 0; i < 200; i++) {
    let isAnswered = false;
    const answer = request("keys/hot", "PUT", {}, `put ${i}`).finally(() => isAnswered = true);
    while (!isAnswered) {
      for (let k = 0; k < 2000; k++) others.add(`"${store.set("hot", "other", { ifPresent: true }).epoch}"`);
      await setImmediate();
    }
    const put = await answer;
    assert.equal(put.status, 204);
    assert.ok(!others.has(put.headers.get("etag")!), "It has the epoch of another's write");
  }
  store.unset("hot");
}, PATIENCE_MS);

test("what cannot be is refused with a status and a code", async () => {
  const large = new Uint8Array(1001);
  assert.deepEqual(await refusal(await request("keys/large", "PUT", {}, large)), [413, "VALUE_TOO_LARGE"]);
  // Of unknown length, so that it is found out by reading.
  const stream = new Response(large).body!;
  assert.deepEqual(await refusal(await fetch(`${url}keys/large`, { method: "PUT", body: stream })), [
    413,
    "VALUE_TOO_LARGE",
  ]);
  assert.equal((await request("keys/large", "PUT", {}, large.subarray(1))).status, 201);
  store.unset("large");
  assert.deepEqual(await refusal(await request(`keys/${"k".repeat(65)}`, "PUT", {}, "")), [400, "KEY_TOO_LONG"]);
  assert.deepEqual(await refusal(await request("keys/a%00b")), [400, "KEY_INVALID"]);
  assert.deepEqual(await refusal(await request("keys/a%zz")), [400, "INVALID_ARGUMENT"]);
  const json = { "content-type": "application/json" };
  assert.deepEqual(await refusal(await request("keys/json", "PUT", json, "{")), [400, "INVALID_ARGUMENT"]);
  assert.deepEqual(await refusal(await request("nothing")), [404, "NO_RESOURCE"]);
  assert.deepEqual(await refusal(await request("keys/missing")), [404, "NO_KEY"]);
  assert.equal((await request("keys/a", "POST", {}, "x")).status, 405);
  for (let i = 0; i < 16; i++) store.set(`full/${i}`, "");
  assert.deepEqual(await refusal(await request("keys/one-more", "PUT", {}, "x")), [507, "FULL"]);
  for (let i = 0; i < 16; i++) store.unset(`full/${i}`);
});

test("a watch tells what exists and then what any process changes", async () => {
  store.set("watched/a", "one");
  store.set("unwatched", "one");
  const response = await request("watch?prefix=watched/");
  assert.match(response.headers.get("content-type")!, /^text\/event-stream/);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const next = async () => {
    while (!text.includes("\n\n")) {
      const { value, done } = await soon(reader.read());
      assert.ok(!done);
      text += value;
    }
    const event = text.slice(0, text.indexOf("\n\n"));
    text = text.slice(event.length + 2);
    return JSON.parse(event.replace(/^data: /, ""));
  };
  const epoch = `${store.epoch("watched/a")}`;
  assert.deepEqual(await next(), { key: "watched/a", kind: "set", epoch, type: "text", size: 3, preview: "one" });
  store.set("watched/b", { two: 2 });
  assert.deepEqual((({ key, preview }) => [key, preview])(await next()), ["watched/b", '{"two":2}']);
  store.unset("watched/a");
  assert.deepEqual((({ key, kind }) => [key, kind])(await next()), ["watched/a", "unset"]);
  await reader.cancel();
  for (const key of ["watched/b", "unwatched"]) store.unset(key);
}, PATIENCE_MS);

test("the page shows in a browser what another process changes, live", async () => {
  const browser = await chromium.launch({ executablePath: Bun.which("chromium")!, args: ["--no-sandbox"] });
  try {
    store.set("before", "was here");
    const page = await browser.newPage();
    await page.goto(url);
    const cell = (key: string) => page.locator(`tr[data-key="${key}"] td:last-child`);
    await cell("before").getByText("was here").waitFor();
    // This is another process than the server.
    store.set("live", "one");
    await cell("live").getByText("one").waitFor();
    store.set("live", "<b>two</b>");
    await cell("live").getByText("<b>two</b>", { exact: true }).waitFor();
    store.unset("live");
    await cell("live").waitFor({ state: "detached" });
    await page.fill("[name=key]", "typed");
    await page.fill("[name=value]", "by hand");
    await page.click("button");
    await cell("typed").getByText("by hand").waitFor();
    assert.equal(store.getString("typed"), "by hand");
  } finally {
    await browser.close();
  }
}, PATIENCE_MS);
