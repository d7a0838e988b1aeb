/** What the behaviour tests are given by the runtime that runs them, and what they share. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SplinterConstructor } from "../splinter.ts";
import type { Watch } from "../types.ts";

/** The runtime's side of the tests. */
export interface Suite {
  /** Registers a test. */
  test(name: string, body: () => void | Promise<void>): void;
  Splinter: SplinterConstructor;
  /** The URL of the module that `Splinter` comes from. */
  module: string;
  /** Collects whatever nobody can reach, now. */
  collectGarbage(): void;
}

/** A place for the files of one test, gone at the end of its block. */
export class TempDir implements Disposable {
  readonly path: string;

  /** Makes it where such files go, or in a directory that is named. */
  constructor(parent: string = tmpdir()) {
    this.path = mkdtempSync(join(parent, "splinter-test-"));
  }

  /** A path in this place. */
  file(name = "test.splinter"): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
}

/** What `statfs` calls a file system in memory. */
const TMPFS = 0x0102_1994;

/** A place on a disk, where a store can be synced. */
export function onDisk(): TempDir {
  const isInMemory = statfsSync(tmpdir()).type === TMPFS;
  return new TempDir(isInMemory ? fileURLToPath(new URL("../../rust/target", import.meta.url)) : tmpdir());
}

/** A name for shared memory that nobody else has. */
export function uniqueName(): string {
  return `splinter-test-${crypto.randomUUID()}`;
}

/** Bytes that look like nothing else. */
export function pattern(length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + 1) & 0xff);
}

/** How long a test waits for another process before it gives up. */
export const PATIENCE_MS = 30_000;

/** Whether a value is there and is whole, if a writer fills each value with its own length. */
export function isUniform(value: Uint8Array | null): boolean {
  return value !== null && value.every((byte) => byte === (value.length & 0xff));
}

/** Waits for what is about to happen, and fails if it does not. */
export async function soon<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("It did not happen")), PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until something holds, while the event loop goes on. */
export async function until(holds: () => boolean, sentence = "It did not become so"): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !holds();) {
    if (Date.now() > end) throw new Error(sentence);
    await turn();
  }
}

/** Lets the event loop have its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Takes the next items. */
export async function take<T>(watch: Watch<T>, count: number): Promise<T[]> {
  const items: T[] = [];
  while (items.length < count) {
    const { done, value } = await soon(watch.next());
    if (done) throw new Error(`Ended after ${items.length} items`);
    items.push(value);
  }
  return items;
}

/** Takes the next item. */
export async function takeOne<T>(watch: Watch<T>): Promise<T> {
  return (await take(watch, 1))[0];
}

/**
 * How many threads wait for changes in this process. They are known by the name that each gives itself when it begins to
 * run: one that was only just started may not be counted yet.
 */
export function waitingThreads(): number {
  return waiters().length;
}

/** How often the threads that wait for changes have gone to sleep. */
export function sleeps(): number {
  const counts = waiters().map((id) => /^voluntary_ctxt_switches:\s*(\d+)/m.exec(statusOf(id))?.[1]);
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

function waiters(): string[] {
  return readdirSync("/proc/self/task").filter((id) => /^Name:\s*splinter$/m.test(statusOf(id)));
}

/** What the system tells of a thread, unless it has just ended. */
function statusOf(thread: string): string {
  try {
    return readFileSync(`/proc/self/task/${thread}/status`, "utf8");
  } catch {
    return "";
  }
}

/** How many descriptors this process has. */
export function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
