import { RedisClient } from "bun";
import { dlopen } from "bun:ffi";
import { Database } from "bun:sqlite";
import { Splinter } from "../../ts/bun/mod.ts";
import type { Runtime } from "./runtime.ts";
import { main } from "./suite.ts";

const runtime: Runtime = {
  name: "bun",
  versions: { Bun: Bun.version },
  Splinter,
  runArguments: ["run"],
  sqliteName: "bun:sqlite",
  redisName: "Bun.RedisClient",

  functions(libPath) {
    const { symbols } = dlopen(libPath, {
      spl_abi: { args: ["buffer"], returns: "u32" },
      clock_gettime: { args: ["i32", "buffer"], returns: "i32" },
    });
    return { bare: symbols.spl_abi, clockGettime: symbols.clock_gettime };
  },

  openSqlite: (path) => new Database(path),

  async connectRedis(socket) {
    const redis = new RedisClient(`redis+unix://${socket}`);
    await redis.connect();
    return {
      get: (key) => redis.getBuffer(key),
      getString: (key) => redis.get(key),
      getMany: (keys) => redis.mget(...keys),
      has: (key) => redis.exists(key),
      set: (key, value) => redis.set(key, value),
      publish: (channel, message) => redis.publish(channel, message),
      subscribe: (channel, listener) => redis.subscribe(channel, listener),
      close: () => redis.close(),
    };
  },
};

await main(runtime, import.meta.url);
