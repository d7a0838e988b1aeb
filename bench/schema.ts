/**
 * The figures of one program of the suite, as it prints them: one JSON document on stdout. The native program, Deno and Bun
 * print one each, and `report.ts` reads any number of them.
 */

/** Everything that one program measured in one run. */
export interface Document {
  /** 1, until a reader of older documents would be misled. */
  schema: 1;
  /** Which program: `"native"`, `"deno"`, `"bun"`. */
  suite: string;
  /** When it began, in UTC: `2025-01-31T12:00:00Z`. */
  date: string;
  /** Measured shortly: the same figures, with more noise, and fewer of them. */
  quick: boolean;
  machine: Machine;
  /** The version of the runtime or compiler, of us, and of every peer, by name. */
  versions: Record<string, string>;
  /** What was not measured, and why: a peer that is not installed, a case that does not fit. */
  skipped: Skipped[];
  groups: Group[];
}

export interface Machine {
  processor: string;
  processors: number;
  memoryGiB: number;
  kernel: string;
}

export interface Skipped {
  what: string;
  why: string;
}

/** The same work, done by several contenders in turn. One table and one plot of the report. */
export interface Group {
  /** What `targets.ts` and `--check` name it by: unique in its document, and kept from run to run. */
  id: string;
  /** The heading that it comes under: one of `SECTIONS`. */
  section: Section;
  title: string;
  unit: Unit;
  /** Which values are the better ones. */
  better: "less" | "more";
  /** The contender whose value in the same rounds the ratios refer to. */
  scale: string;
  /** What a reader must know to judge the figures, in Markdown. */
  notes: string[];
  results: Result[];
}

export const SECTIONS = ["operations", "sharing", "waking", "memory"] as const;
export type Section = typeof SECTIONS[number];

/** `M/s` is million operations a second. */
export type Unit = "ns" | "µs" | "ms" | "M/s" | "bytes" | "MiB";

/** What one contender reached in one case: one cell of the table. */
export interface Result {
  /** The row: `"splinter"`, `"LMDB"`. */
  contender: string;
  /** Us (in any variant), what a user could pick instead, or what is only there to compare with, as the floor that the machine sets. */
  kind: "us" | "peer" | "floor";
  /** The column: `"1,000 keys, 64 B"`. `"quick"` runs use the same names for fewer cases. */
  case: string;
  /** The median of the rounds. */
  value: number;
  /** The median of the rounds' ratios to the scale contender of the same round; `null` where that was not measured. */
  ratio: number | null;
  /** Half of the rounds were within this share of the median: (third quartile - first) / median. */
  spread: number;
  /** Anything else that was counted, as `p50`, `p99`, `p99.9` (in `unit`), or `retries`: columns of their own. */
  details?: Record<string, number>;
}

/**
 * The groups that the documents of Deno and Bun have, as `targets.ts` names them. The scale of each is `"bare FFI call"`, a
 * call through the runtime's FFI with one buffer that does nothing, unless another is named here. Our contenders are named
 * after the call (`"getInto"`, `"key.getInto"`); the case that targets name is `"1,000 keys, 64 B"`.
 *
 * - `get`: `getInto`, `key.getInto`, `get`, `getMany`, `view`; `Map`, `node:sqlite` or `bun:sqlite`, `lmdb`, Redis
 * - `get-string`: `getString`, `getJSON`; its scale is `"getInto and decode"`, of a fixed buffer
 * - `miss`: `getInto`, `has`
 * - `set`: `set bytes`, `key.set bytes`, `set string`, `set JSON`, `setMany`
 * - `messages`: `watch`, `poll`; `BroadcastChannel`; its scale is `"BroadcastChannel"`
 */
export const RUNTIME_GROUPS = ["get", "get-string", "miss", "set", "messages"] as const;
