/** Takes a lock together with another process, time and again, at the same moment. Usage: contender.ts STORE ROUNDS */
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { Splinter } from "splinter-bus";
import { Lease } from "../../examples/lock/lease.ts";

const CONTENDERS = 2;
/** Whoever waits so long for the other one, in milliseconds, waits for somebody who is dead. */
const PATIENCE_MS = 60_000;
const [path, rounds] = process.argv.slice(2);

const impatient = performance.now() + PATIENCE_MS;
using store = Splinter.open(path);
for (let round = 1n; round <= BigInt(rounds); round++) {
  store.add("arrived", 1);
  while (store.getBigInt("arrived")! < BigInt(CONTENDERS) * round) {
    if (performance.now() > impatient) throw new Error("The other contender is gone");
    await setImmediate();
  }
  // Far longer than the test: who misses a release waits in vain.
  using _lease = await Lease.acquire(store, "lock", "contender", 3_600_000);
  // Not one step, unlike an "add": the lock makes it one.
  const seen = store.getBigInt("taken") ?? 0n;
  store.set("taken", seen + 1n);
}
