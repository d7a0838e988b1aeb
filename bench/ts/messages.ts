/**
 * The group `messages`: how long a message takes until whoever sleeps for it goes on, in another thread or another process of the
 * same runtime.
 *
 * Each contender has an answering side of its own, which stamps what it gets with the one clock that all share, and answers
 * by a key that the asking side watches. Only the way there counts, and so the way back may be the same for all.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Store } from "../../ts/store.ts";
import type { Group, Result } from "../schema.ts";
import type { Bench } from "./loaded.ts";
import { quantile, resultOf } from "./measure.ts";
import { type Redis, type Runtime, sharedClock } from "./runtime.ts";

/** Messages that are sent at once, in the cases that do. They fit what a channel of ours keeps. */
const BURST = 200;

const MESSAGE_BYTES = 64;

/** Messages that are sent one by one, in each round. */
const PINGS = 10;

/** Rounds that do not count. */
const WARM_UP_ROUNDS = 2;

/** Long enough for everybody to fall asleep, in milliseconds. */
const PAUSE_MS = 1;

/** Whoever has not answered after so long, in milliseconds, is broken. */
const PATIENCE_MS = 30_000;

/** How long one who polls sleeps at a time, in milliseconds. */
const POLL_MS = 100;

/** The scale. It reaches no other process. */
const SCALE = "BroadcastChannel";

const KINDS = { watch: "us", poll: "us", channel: "us", [SCALE]: "peer", Redis: "peer" } as const;

type Means = keyof typeof KINDS;
type Place = "worker" | "process";

/** What an answering side has to know. */
export interface Job {
  readonly means: Means;
  readonly place: Place;
  readonly libPath: string;
  /** The path of the store. */
  readonly path: string;
  /** The socket of Redis. */
  readonly redisSocket?: string;
}

/**
 * Measures the group.
 *
 * @param bench With what.
 * @param entry The URL of the runtime's script, which answers when it is given a job.
 * @param rounds How often.
 * @returns The group.
 */
export async function messages(bench: Bench, entry: string, rounds: number): Promise<Group> {
  const { runtime, peers, libPath, directory } = bench;
  const { redisSocket } = peers;
  const path = join(directory, "messages.splinter");
  using store = runtime.Splinter.create(path, { slots: 64, maxValueSize: 65_536, libPath });
  const redis = await peers.redis();
  const means: Means[] = ["watch", "poll", "channel", SCALE];
  if (redis !== null) means.push("Redis");
  const now = sharedClock(bench.functions);
  using asker = new Asker(store, now);
  const sides: Side[] = [];
  try {
    for (const place of ["worker", "process"] as const) {
      for (const mean of means) {
        if (mean === SCALE && place === "process") continue;
        const job: Job = { means: mean, place, libPath, path, redisSocket };
        sides.push(new Side(job, store, redis, runtime, entry));
        await asker.hear(`ready ${nameOf(job)}`);
      }
    }
    const cases: Case[] = [...sides.map((side) => ({ side, count: 1 })), ...sides.flatMap(bursts)];
    const values = cases.map((): number[] => []);
    const singles = cases.map((): number[] => []);
    for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
      for (const [i, { side, count }] of cases.entries()) {
        const times: number[] = [];
        for (let ping = 0; ping < (count === 1 ? PINGS : 1); ping++) times.push(await asker.ask(side, count) / count);
        if (round < 0) continue;
        values[i].push(quantile(times, 0.5));
        singles[i].push(...times);
      }
    }
    const results = cases.map(({ side, count }, i): Result => {
      const scale = cases.findIndex((other) => other.side.job.means === SCALE && other.count === count);
      const head = { contender: side.job.means, kind: KINDS[side.job.means], case: titleOf(side.job, count) };
      const result = resultOf(head, values[i], values[scale]);
      return count > 1 ? result : { ...result, details: { p99: quantile(singles[i], 0.99) } };
    });
    return { ...described(runtime), results };
  } finally {
    for (const side of sides) await side.end();
    redis?.close();
  }
}

function described({ redisName }: Runtime): Omit<Group, "results"> {
  return {
    id: "messages",
    section: "waking",
    title: "Reach somebody who sleeps",
    unit: "µs",
    better: "less",
    scale: SCALE,
    notes: [
      `From before the call that sends until the receiver goes on, of messages of ${MESSAGE_BYTES} bytes; both sides have slept for ${PAUSE_MS} ms. The ` +
      `receiver is a worker of the same process, or another process of the same runtime.`,
      `\`watch\` is a \`for await\` of \`store.watch\`, \`poll\` a blocking \`store.poll\`, which is a native wait and nothing else, \`channel\` a ` +
      `listener of \`store.channel\`, \`Redis\` its publish and subscribe by \`${redisName}\` over a unix socket.`,
      `\`${SCALE}\` reaches no other process: ratios refer to a worker that it reaches.`,
      `Of ${BURST} messages that are posted at once, the time until the last was received is divided by their number. \`watch\` and \`poll\` ` +
      `are not in it, since they tell of the last value of a key, and not of each.`,
    ],
  };
}

/** One side that answers, and how many messages it gets at once. */
interface Case {
  readonly side: Side;
  readonly count: number;
}

function bursts(side: Side): Case[] {
  const { means } = side.job;
  return means === "watch" || means === "poll" ? [] : [{ side, count: BURST }];
}

function titleOf({ place }: Job, count: number): string {
  return `${count === 1 ? "a message" : `${BURST} messages`} to a ${place}`;
}

/** The name of a key or channel that belongs to one answering side. */
function nameOf({ means, place }: Job): string {
  return `${means} ${place}`;
}

/** Sends, and hears when it was received. */
class Asker {
  readonly #now: () => number;
  readonly #ending = new AbortController();
  readonly #answers: AsyncIterator<string>;
  #number = 0;

  constructor(store: Store, now: () => number) {
    this.#now = now;
    this.#answers = answersTo(store, this.#ending.signal);
  }

  /** Sends messages, and gives the microseconds until the last was received. */
  async ask(side: Side, count: number): Promise<number> {
    const number = ++this.#number;
    const plain = messageOf(0);
    const last = messageOf(number);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    const sent = this.#now();
    for (let i = 1; i < count; i++) side.send(plain);
    side.send(last);
    const at = await this.hear(`${number}`);
    return (at - sent) / 1000;
  }

  /** Waits for an answer, and gives the time in it. */
  async hear(answer: string): Promise<number> {
    const impatient = setTimeout(() => this.#ending.abort(), PATIENCE_MS);
    try {
      for (;;) {
        const { value, done } = await this.#answers.next();
        if (done) throw new Error(`Nobody answered "${answer}"`);
        const [found, at] = value.split(" at ");
        if (found === answer) return Number(at);
      }
    } finally {
      clearTimeout(impatient);
    }
  }

  [Symbol.dispose](): void {
    this.#ending.abort();
  }
}

async function* answersTo(store: Store, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  for await (const { value } of store.watch("answer", { signal })) {
    if (value !== null) yield decoder.decode(value);
  }
}

/** A message that is answered, unless its number is 0. */
function messageOf(number: number): string {
  return String(number).padStart(MESSAGE_BYTES, "0");
}

/** An answering side, as the asking one sees it. */
class Side {
  readonly job: Job;
  readonly send: (message: string) => unknown;
  readonly #answering: Worker | ChildProcess;
  readonly #opened: { close(): void } | undefined;
  #ended = false;

  constructor(job: Job, store: Store, redis: Redis | null, runtime: Runtime, entry: string) {
    this.job = job;
    const name = nameOf(job);
    if (job.means === "channel" || job.means === SCALE) {
      const channel = job.means === "channel" ? store.channel(name) : new BroadcastChannel(name);
      this.#opened = channel;
      this.send = (message) => channel.postMessage(message);
    } else if (job.means === "Redis") {
      this.send = (message) => redis!.publish(name, message);
    } else {
      this.send = (message) => store.set(name, message);
    }
    const broken = (status: unknown) => {
      // Nobody would hear of it otherwise.
      if (!this.#ended) throw new Error(`The side that answers "${name}" has ended: ${status}`);
    };
    this.#answering = job.place === "worker"
      ? new Worker(new URL(entry), { workerData: job })
      : spawn(process.execPath, [...runtime.runArguments, fileURLToPath(entry), JSON.stringify(job)], {
        stdio: "inherit",
      });
    this.#answering.on("error", broken);
    this.#answering.on("exit", broken);
  }

  async end(): Promise<void> {
    this.#ended = true;
    this.#opened?.close();
    if (this.#answering instanceof Worker) await this.#answering.terminate();
    else this.#answering.kill("SIGKILL");
  }
}

/**
 * Answers, until it is ended.
 *
 * @param runtime The runtime.
 * @param job By what means, and where.
 */
export async function answer(runtime: Runtime, job: Job): Promise<void> {
  const { libPath, means, path, redisSocket } = job;
  const now = sharedClock(runtime.functions(libPath));
  const name = nameOf(job);
  using store = runtime.Splinter.open(path, { libPath });
  const received = (message: string, at: number) => {
    const number = Number(message);
    if (number > 0) store.set("answer", `${number} at ${at}`);
  };
  const ready = () => store.set("answer", `ready ${name} at 0`);

  if (means === "watch") {
    const decoder = new TextDecoder();
    const watch = store.watch(name);
    ready();
    for await (const { value } of watch) {
      const at = now();
      if (value !== null) received(decoder.decode(value), at);
    }
  } else if (means === "poll") {
    ready();
    for (let last: string | null = null;;) {
      store.poll(name, POLL_MS);
      const at = now();
      const message = store.getString(name);
      if (message !== null && message !== last) received(message, at);
      last = message;
    }
  } else if (means === "Redis") {
    const redis = await runtime.connectRedis(redisSocket!);
    await redis.subscribe(name, (message) => received(message, now()));
    ready();
  } else {
    const channel = means === "channel" ? store.channel(name) : new BroadcastChannel(name);
    channel.onmessage = ({ data }: { data: unknown }) => received(data as string, now());
    ready();
  }
  // What listens keeps going for as long as the store is open.
  await new Promise(() => {});
}
