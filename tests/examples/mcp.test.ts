/** The scratchpad of several agents: each has a server of its own, and all of them one store. */
import { test } from "bun:test";
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { PATIENCE_MS, soon, TempDir } from "../../ts/tests/suite.ts";
import { bun, deno } from "./program.ts";

const SERVERS = { bun, deno: (...args: Parameters<typeof bun>) => deno(["--allow-env"], ...args) };

interface Result {
  isError?: boolean;
  content: { text: string }[];
}

/** An agent: a client of the SDK, and the server that it has started. */
class Agent implements AsyncDisposable {
  readonly #client = new Client({ name: "test", version: "0" });

  static async start(runtime: keyof typeof SERVERS, directory: TempDir): Promise<Agent> {
    const [command, ...args] = SERVERS[runtime]("mcp/server.ts", directory.file());
    const agent = new Agent();
    await agent.#client.connect(new StdioClientTransport({ command, args, cwd: directory.path }));
    return agent;
  }

  async tools(): Promise<string[]> {
    return (await this.#client.listTools()).tools.map(({ name }) => name).sort();
  }

  async call(name: string, args: object): Promise<Result> {
    return await soon(this.#client.callTool({ name, arguments: { ...args } })) as Result;
  }

  /** Calls a tool, which must not fail. */
  // deno-lint-ignore no-explicit-any
  async ask(name: string, args: object): Promise<any> {
    const { isError, content: [{ text }] } = await this.call(name, args);
    assert.ok(!isError, text);
    return JSON.parse(text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.close();
  }
}

for (const [one, other] of [["bun", "bun"], ["bun", "deno"]] as const) {
  test(
    `agents with servers in ${one} and ${other} share one scratchpad, and do not overwrite each other's work`,
    async () => {
      using directory = new TempDir();
      await using anna = await Agent.start(one, directory);
      await using berta = await Agent.start(other, directory);
      assert.deepEqual(await anna.tools(), ["append", "delete", "get", "list", "set", "watch"]);

      assert.deepEqual(await anna.ask("get", { key: "plan" }), { text: null, epoch: null });
      const waiting = berta.ask("watch", { key: "plan", epoch: null, seconds: 30 });
      const first = await anna.ask("set", { key: "plan", text: "to walk", if_epoch: null });
      assert.equal(first.ok, true);
      assert.deepEqual(await waiting, { changed: true, text: "to walk", epoch: first.epoch });
      assert.deepEqual(await berta.ask("set", { key: "plan", text: "to run", if_epoch: null }), {
        ok: false,
        epoch: first.epoch,
      });
      const second = await berta.ask("set", { key: "plan", text: "to run", if_epoch: first.epoch });
      assert.equal(second.ok, true);
      assert.equal((await anna.ask("set", { key: "plan", text: "to fly", if_epoch: first.epoch })).ok, false);
      assert.deepEqual(await anna.ask("watch", { key: "plan", epoch: second.epoch, seconds: 0.01 }), {
        changed: false,
        text: "to run",
        epoch: second.epoch,
      });

      const lines = Array.from({ length: 400 }, (_, i) => `line ${i}\n`);
      await Promise.all(lines.map((text, i) => (i % 2 ? anna : berta).ask("append", { key: "log", text })));
      const log: string = (await anna.ask("get", { key: "log" })).text;
      assert.deepEqual(log.split(/(?<=\n)/).sort(), lines.sort());

      const { entries, more } = await berta.ask("list", {});
      assert.deepEqual(entries.map(({ key }: { key: string }) => key).sort(), ["log", "plan"]);
      assert.equal(more, false);
      assert.deepEqual(await berta.ask("delete", { key: "plan", if_epoch: first.epoch }), { ok: false });
      assert.deepEqual(await berta.ask("delete", { key: "plan" }), { ok: true });
      assert.deepEqual(await anna.ask("delete", { key: "plan" }), { ok: false });
      assert.equal((await anna.ask("set", { key: "plan", text: "to rest" })).ok, true);
    },
    PATIENCE_MS,
  );
}

test("what goes beyond the limits is refused, and the server goes on", async () => {
  using directory = new TempDir();
  await using agent = await Agent.start("bun", directory);
  const large = "x".repeat(65_536);
  assert.equal((await agent.ask("set", { key: "large", text: large })).ok, true);
  const refused = await agent.call("append", { key: "large", text: "x" });
  assert.ok(refused.isError);
  assert.match(refused.content[0].text, /^VALUE_TOO_LARGE: /);
  const cases: [string, object][] = [
    ["set", { key: "larger", text: large + "x" }],
    ["set", { key: "two bytes each", text: "ü".repeat(40_000) }],
    ["get", { key: "k".repeat(61) }],
    ["get", { key: "" }],
    ["get", { key: "a\0b" }],
    ["set", { key: "a", text: "b", if_epoch: "not a number" }],
    ["watch", { key: "a", epoch: null, seconds: 31 }],
  ];
  for (const [tool, args] of cases) {
    assert.ok((await agent.call(tool, args)).isError, JSON.stringify(args).slice(0, 60));
  }
  assert.deepEqual(await agent.ask("list", { prefix: "lar" }).then(({ entries }) => entries.length), 1);
}, PATIENCE_MS);
