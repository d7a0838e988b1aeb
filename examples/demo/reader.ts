/**
 * The Deno and the Bun part of `scripts/demo`: reads the machine's figures that the Rust process publishes, watches
 * for each beat, and writes this process's own figures back. Blind to the runtime; `reader.deno.ts` and
 * `reader.bun.ts` start it.
 */
import process from "node:process";
import type { Store } from "../../ts/store.ts";

const START_LIMIT_MS = 30_000;
const BEAT_LIMIT_MS = 5_000;

interface Reader {
  name: string;
  version: string;
  open: () => Store;
}

interface Beat {
  round: number;
  elapsed_s: number;
  wrote_us: number;
}

/** Counters that only grow, and the moment they were read: two of them make a rate. */
interface Counters {
  elapsedS: number;
  busyMs: number;
  idleMs: number;
  readBytes: number;
  writtenBytes: number;
  receivedBytes: number;
  sentBytes: number;
}

/** Runs one reader until the publisher says stop, and reports a failure in one line. */
export async function readProc(reader: Reader): Promise<void> {
  try {
    using store = reader.open();
    await new ProcReader(reader, store).run();
  } catch (error) {
    console.error(`${reader.name}: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}

class ProcReader {
  #writes = 0;
  #reads = 0;
  #wakesUs: number[] = [];

  constructor(readonly reader: Reader, readonly store: Store) {}

  async run(): Promise<void> {
    const { name, version } = this.reader;
    // Before the publisher hears that this reader is ready, so that no beat is missed.
    using beats = this.store.watch("demo/beat");
    console.log(`${name.padEnd(4)}  ${version} is ready, pid ${process.pid}`);
    this.#put(`${name}/ready`, { pid: process.pid });

    let last: Counters | undefined;
    let limitMs = START_LIMIT_MS;
    for (let stopped = false; !stopped;) {
      const { value: event } = await within(limitMs, beats.next(), "No beat from the publisher");
      const wokeUs = nowUs();
      if (!event?.value) throw new Error("The publisher took its beat back");
      const beat: Beat = JSON.parse(new TextDecoder().decode(event.value));
      limitMs = BEAT_LIMIT_MS;
      this.#wakesUs.push(wokeUs - beat.wrote_us);
      this.#writeBack();

      const counters = this.#counters(beat.elapsed_s);
      if (last === undefined || counters.elapsedS - last.elapsedS >= 1) {
        if (last !== undefined) {
          this.#printRow(last, counters);
        }
        last = counters;
      }
      stopped = this.store.has("demo/stop");
    }
    this.#put(`${name}/summary`, this.#summary());
  }

  #put(key: string, value: Record<string, unknown>): void {
    this.#writes++;
    this.store.set(key, value);
  }

  #look<T>(key: string): T | null {
    this.#reads++;
    return this.store.getJSON<T>(key);
  }

  #writeBack(): void {
    const { name, version } = this.reader;
    this.#put(`${name}/runtime`, {
      version,
      rss_bytes: process.memoryUsage().rss,
      up_s: performance.now() / 1000,
    });
    // Last, because the publisher waits for it. Both readers write this key.
    this.#put("demo/reply", { from: name, wrote_us: nowUs() });
  }

  /** Adds up one field of every key under a prefix: of all processors, all disks, all network interfaces. */
  #total(prefix: string, fields: string[]): number[] {
    const totals = fields.map(() => 0);
    for (const key of this.store.keys({ prefix })) {
      const figures = this.#look<Record<string, number>>(key);
      fields.forEach((field, i) => totals[i] += figures?.[field] ?? 0);
    }
    return totals;
  }

  #counters(elapsedS: number): Counters {
    const [busyMs, idleMs] = this.#total("proc/stat/", ["busy_ms", "idle_ms"]);
    const [readBytes, writtenBytes] = this.#total("proc/disk/", ["read_bytes", "written_bytes"]);
    const [receivedBytes, sentBytes] = this.#total("proc/net/", ["received_bytes", "sent_bytes"]);
    return { elapsedS, busyMs, idleMs, readBytes, writtenBytes, receivedBytes, sentBytes };
  }

  /** One row under the publisher's header. */
  #printRow(last: Counters, now: Counters): void {
    const load = this.#look<{ one: number }>("proc/loadavg");
    const memory = this.#look<{ total_bytes: number; available_bytes: number }>("proc/meminfo");
    const usedBytes = memory ? memory.total_bytes - memory.available_bytes : 0;
    const busyMs = now.busyMs - last.busyMs;
    const allMs = busyMs + now.idleMs - last.idleMs;
    const rate = (from: number, to: number) => ((to - from) / 1024 / (now.elapsedS - last.elapsedS)).toFixed(0);
    console.log([
      `${now.elapsedS.toFixed(1).padStart(4)}s`,
      this.reader.name.padEnd(4),
      (load ? load.one.toFixed(2) : "-").padStart(5),
      `${gib(usedBytes)} of ${gib(memory?.total_bytes ?? 0)} GiB`.padEnd(15),
      `${(allMs > 0 ? 100 * busyMs / allMs : 0).toFixed(0)}%`.padEnd(8),
      `${rate(last.readBytes, now.readBytes)} / ${rate(last.writtenBytes, now.writtenBytes)}`.padEnd(14),
      `${rate(last.receivedBytes, now.receivedBytes)} / ${rate(last.sentBytes, now.sentBytes)}`,
    ].join("  "));
  }

  #summary(): Record<string, unknown> {
    const sorted = this.#wakesUs.toSorted((a, b) => a - b);
    const rank = (share: number) => sorted[Math.ceil(sorted.length * share) - 1];
    return {
      version: this.reader.version,
      // This summary is itself a write.
      writes: this.#writes + 1,
      reads: this.#reads,
      changes: sorted.length,
      median_us: rank(0.5),
      p90_us: rank(0.9),
      worst_us: rank(1),
    };
  }
}

/** What `promise` gives, if it gives it in time. */
async function within<T>(limitMs: number, promise: Promise<T>, complaint: string): Promise<T> {
  const { promise: tooLate, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`${complaint} in ${limitMs / 1000} s`)), limitMs);
  try {
    return await Promise.race([promise, tooLate]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Wall-clock time with a resolution below a microsecond. `process.hrtime` starts with the process in both runtimes, so it
 * cannot be compared with the publisher's clock; this sum can.
 */
function nowUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

function gib(bytes: number): string {
  return (bytes / 1024 ** 3).toFixed(1);
}
