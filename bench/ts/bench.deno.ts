import { DatabaseSync } from "node:sqlite";
import { Splinter } from "../../ts/deno/mod.ts";
import type { Runtime } from "./runtime.ts";
import { main } from "./suite.ts";

const runtime: Runtime = {
  name: "deno",
  versions: { Deno: Deno.version.deno, V8: Deno.version.v8 },
  Splinter,
  runArguments: ["run", "--quiet", "--allow-all"],
  sqliteName: "node:sqlite",
  redisName: "ioredis",

  functions(libPath) {
    const { symbols } = Deno.dlopen(libPath, {
      spl_abi: { parameters: ["buffer"], result: "u32" },
      clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
    });
    return { bare: symbols.spl_abi, clockGettime: symbols.clock_gettime };
  },

  openSqlite: (path) => new DatabaseSync(path),

  async connectRedis(socket) {
    // Not before it is needed: once it is loaded, a charCodeAt takes some six times as long in all of the process.
    const { Redis } = await import("ioredis");
    const redis = new Redis(socket);
    return {
      get: (key) => redis.getBuffer(key),
      getString: (key) => redis.get(key),
      getMany: (keys) => redis.mgetBuffer(keys),
      has: async (key) => await redis.exists(key) === 1,
      // It knows bytes as Node's.
      set: (key, value) =>
        redis.set(key, typeof value === "string" ? value : Buffer.from(value.buffer, value.byteOffset, value.length)),
      publish: (channel, message) => redis.publish(channel, message),
      subscribe: (channel, listener) => {
        redis.on("message", (_, message) => listener(message));
        return redis.subscribe(channel);
      },
      close: () => redis.disconnect(),
    };
  },
};

await main(runtime, import.meta.url);
