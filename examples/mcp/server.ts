/**
 * A scratchpad that several agents share: a Model Context Protocol server on the standard input and output, of which each
 * agent starts its own, all on one store. For Bun and Deno.
 *
 *     bun add splinter-bus @modelcontextprotocol/sdk zod
 *     bun server.ts scratchpad.splinter
 *
 * In an agent's configuration:
 *
 *     { "mcpServers": { "scratchpad": { "command": "bun", "args": ["server.ts", "/path/to/scratchpad.splinter"] } } }
 *
 * With Deno the command is `deno run --allow-ffi --allow-read --allow-write --allow-env server.ts`.
 */
import process from "node:process";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { Splinter, SplinterError } from "splinter-bus";
import { z } from "zod";

const ENTRIES = 1024;
const VALUE_BYTES_MAX = 65_536;
const LIST_MAX = 100;
const WAIT_SECONDS_MAX = 30;

const [path] = process.argv.slice(2);
if (!path) throw new Error("usage: server.ts STORE");

// What else may be in the store is none of the agents' business.
const store = Splinter.openOrCreate(path, { slots: ENTRIES, maxValueSize: VALUE_BYTES_MAX });
const pad = store.namespace("pad/");

const key = z.string().min(1).max(60).describe("The name of an entry");
const epoch = z.string().regex(/^\d{1,20}$/).describe("The epoch of an entry, as get, set, append and watch tell it");
const text = z.string().max(VALUE_BYTES_MAX);

const server = new McpServer({ name: "splinter-scratchpad", version: "0.1.0" });

server.registerTool("get", {
  description: "Reads an entry: its text, and the epoch that a conditional set needs. Both are null if there is none.",
  inputSchema: { key },
  annotations: { readOnlyHint: true },
}, ({ key }) => answer(() => read(key)));

server.registerTool("set", {
  description:
    "Writes an entry. With if_epoch only if it still has that epoch, with if_epoch null only if there is none yet: " +
    "ok tells whether it was written, and epoch what it has now.",
  inputSchema: { key, text, if_epoch: epoch.nullable().optional() },
}, ({ key, text, if_epoch }) =>
  answer(() => {
    if (if_epoch === undefined) return { ok: true, epoch: told(pad.update(key, () => text)) };
    const { ok, epoch } = pad.set(key, text, { ifEpoch: if_epoch === null ? null : BigInt(if_epoch) });
    return { ok, epoch: told(epoch) };
  }));

server.registerTool("delete", {
  description: "Deletes an entry. With if_epoch only if it still has that epoch: ok tells whether it was deleted.",
  inputSchema: { key, if_epoch: epoch.optional() },
}, ({ key, if_epoch }) =>
  answer(() => ({
    ok: if_epoch === undefined ? pad.unset(key) !== null : pad.unset(key, { ifEpoch: BigInt(if_epoch) }).ok,
  })));

server.registerTool("append", {
  description: "Puts text behind an entry, as one step, so that nothing is lost if several agents append at once.",
  inputSchema: { key, text: text.min(1) },
}, ({ key, text }) => answer(() => ({ bytes: pad.append(key, text) })));

server.registerTool("list", {
  description: `Lists the entries whose names begin with a prefix, ${LIST_MAX} at most, with their epochs and sizes.`,
  inputSchema: { prefix: z.string().max(60).default("") },
  annotations: { readOnlyHint: true },
}, ({ prefix }) =>
  answer(() => {
    const entries = [];
    for (const { key, epoch, size } of pad.scan({ prefix })) {
      if (entries.length === LIST_MAX) return { entries, more: true };
      entries.push({ key, epoch: told(epoch), bytes: size });
    }
    return { entries, more: false };
  }));

server.registerTool("watch", {
  description:
    "Waits until an entry is not as it was when it had an epoch (null: when there was none), for so many seconds " +
    "at most, and reads it. If changed is false, the time was up: ask again.",
  inputSchema: { key, epoch: epoch.nullable(), seconds: z.number().positive().max(WAIT_SECONDS_MAX).default(10) },
  annotations: { readOnlyHint: true },
}, ({ key, epoch, seconds }, { signal }) =>
  answer(async () => {
    const end = performance.now() + seconds * 1000;
    for (;;) {
      // The wait begins before the look, so that it hears of a change that comes right after it.
      const timeoutMs = Math.max(0, end - performance.now());
      const changed = pad.pollAsync(key, { timeoutMs, signal });
      const now = read(key);
      if (now.epoch !== epoch) {
        changed.catch(() => {});
        return { changed: true, ...now };
      }
      if (!await changed && performance.now() >= end) return { changed: false, ...now };
    }
  }));

await server.connect(new StdioServerTransport());
// The end of the input is the end of the agent.
process.stdin.on("close", () => {
  store.close();
  process.exit();
});

/** An entry, or nulls. */
function read(key: string): { text: string | null; epoch: string | null } {
  const entry = pad.getEntry(key);
  return { text: entry && new TextDecoder().decode(entry.value), epoch: told(entry?.epoch ?? null) };
}

/** An epoch as it is told: JSON's numbers are too small for it, and while somebody writes it is one more than it was. */
function told(epoch: bigint | null): string | null {
  return epoch === null ? null : `${epoch & ~1n}`;
}

/** Answers a call in JSON. What the store refuses is told to the agent, who can do something about it. */
async function answer(work: () => object | Promise<object>) {
  try {
    return { content: [{ type: "text" as const, text: JSON.stringify(await work()) }] };
  } catch (error) {
    if (!(error instanceof SplinterError)) throw error;
    return { isError: true, content: [{ type: "text" as const, text: `${error.code}: ${error.message}` }] };
  }
}
