/**
 * The answering side of the native program's pings, the same for Deno and Bun: says when a `for await` of `store.watch` went on.
 */
import process from "node:process";
import type { Store } from "../ts/store.ts";

/** What the runtime must provide. */
export interface Answerer {
  /** Opens the store that both sides use. */
  open(): Store;
  /** Writes the time of a clock of the system into a `timespec`. */
  clockGettime(clock: number, timespec: Uint8Array): unknown;
}

const CLOCK_MONOTONIC = 1;

/** Answers every ping until there is an empty one. */
export async function answer({ open, clockGettime }: Answerer): Promise<void> {
  using store = open();
  const timespec = new BigInt64Array(2);
  const timespecBytes = new Uint8Array(timespec.buffer);
  const pong = new BigUint64Array(2);
  const pongBytes = new Uint8Array(pong.buffer);

  // Begun before the other side is told.
  const watch = store.watch("ping");
  store.set("ready", `${process.pid}`);
  for await (const { value } of watch) {
    // The one clock that all processes share: those of the runtimes begin with their processes.
    clockGettime(CLOCK_MONOTONIC, timespecBytes);
    if (value === null || value.length !== 8) break;
    pongBytes.set(value);
    pong[1] = BigInt.asUintN(64, timespec[0] * 1_000_000_000n + timespec[1]);
    store.set("pong", pongBytes);
  }
}
