/**
 * Workers that take turns: start some, kill the one that holds the lock, or stop it with Ctrl-Z and let it go on with `fg`.
 *
 *     bun add splinter-bus
 *     bun worker.ts work.splinter anna & bun worker.ts work.splinter berta
 *
 * In Deno: `deno run --allow-ffi --allow-read --allow-write worker.ts work.splinter clara`.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Splinter, type Store } from "splinter-bus";
import { Lease } from "./lease.ts";

const TTL_MS = 1000;
const decoder = new TextDecoder();

const [path, name, seconds = "10"] = process.argv.slice(2);
if (!name) throw new Error("usage: worker.ts STORE NAME [SECONDS]");

using store = Splinter.openOrCreate(path);
using lease = await Lease.acquire(store, "lock", name, TTL_MS);
console.log(`${name} has the lock, token ${lease.token}`);
for (let round = 1; round <= Number(seconds) * 20; round++) {
  await sleep(TTL_MS / 20);
  if (!write(store, lease.token, `round ${round} of ${name}`)) {
    console.log(`${name} was refused: somebody with a greater token has written`);
    break;
  }
  if (!lease.renew()) {
    console.log(`${name} has lost the lock`);
    break;
  }
}
console.log(`${name} is done`);

/** The work that the lock guards. It looks at the token itself: who was suspended does not know that his time is up. */
function write(store: Store, token: bigint, text: string): boolean {
  const written = store.update("work", (old) => {
    const seen = old === null ? 0n : BigInt(JSON.parse(decoder.decode(old)).token);
    return token < seen ? undefined : { token: `${token}`, text };
  });
  return written !== null;
}
