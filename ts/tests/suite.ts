/** What the behaviour tests are given by the runtime that runs them, and what they share. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SplinterConstructor } from "../splinter.ts";

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
  readonly path: string = mkdtempSync(join(tmpdir(), "splinter-test-"));

  /** A path in this place. */
  file(name = "test.splinter"): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true });
  }
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
