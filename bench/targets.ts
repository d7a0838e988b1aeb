/** What we want to reach, as ratios of figures of one run. */
import type { Figures } from "./figures.ts";

export interface Target {
  what: string;
  /** At most this (`"most"`), or at least (`"least"`). */
  bound: "most" | "least";
  limit: number;
  /** Of what, in words: `"the array read"`. */
  of: string;
  /** The ratio that was measured; not a number if it was not. */
  measured: (figures: Figures) => number;
  /** What is in the way, as far as we know, where it has been missed again and again. */
  because?: string;
}

const KEYS_1K = "1,000 keys, 64 B";
const KEYS_1M = "1,000,000 keys, 64 B";
const POLL = "splinter, poll";

const COLD =
  "A get hashes the key and then waits three times, for the lines of index, slot and value, each of which is known by " +
  "the one before. The array's places are known beforehand, and many are fetched at once. A `HashMap` pays for hash and lines too.";
const ALONE =
  "Only one handle may ever write an entry of the blackboard, and nobody is told of it. Ours takes the key's lock, " +
  "because anybody may write, enters the change in the journal, and looks whether somebody sleeps.";
const BARE =
  "The bare call does nothing, while a native get alone takes ten times as long in Bun, and twice in Deno. The rest goes into the " +
  "key's text, which native code needs as bytes, and into checks of what was passed.";
const HOPS =
  "No event loop can wait for a futex: a thread waits, and wakes the loop by a descriptor. On one processor these take turns.";

/** The worst of several ratios. */
function most(ratios: number[]): number {
  const measured = ratios.filter((ratio) => !Number.isNaN(ratio));
  return measured.length === 0 ? NaN : Math.max(...measured);
}

function native(group: string, contender: string, name: string, than: string): Target["measured"] {
  return (figures) => figures.value("native", group, contender, name) / figures.value("native", group, than, name);
}

export const TARGETS: readonly Target[] = [
  {
    what: `Get by key, ${KEYS_1K}`,
    bound: "most",
    limit: 2.5,
    of: "the array read",
    because: COLD,
    measured: (figures) => figures.ratio("native", "get", "splinter", KEYS_1K),
  },
  {
    what: "Get of an absent key, at the worst fill",
    bound: "most",
    limit: 1,
    of: "a hit in the same store",
    measured: (figures) =>
      most(
        (figures.group("native", "full")?.results ?? [])
          .filter((result) => result.contender === "get miss")
          .map((result) => result.ratio ?? NaN),
      ),
  },
  {
    what: `Set in throughput mode, ${KEYS_1K}`,
    bound: "most",
    limit: 2.5,
    of: "a get",
    measured: (figures) =>
      figures.value("native", "set", "splinter", KEYS_1K) / figures.value("native", "get", "splinter", KEYS_1K),
  },
  {
    what: `Set in sterile mode, ${KEYS_1K}`,
    bound: "most",
    limit: 1.5,
    of: "a set in throughput mode",
    measured: native("set", "splinter, sterile", KEYS_1K, "splinter"),
  },
  ...["1 KiB", "4 KiB", "64 KiB"].map((size): Target => ({
    what: `Get, 1,000 keys, ${size}`,
    bound: "most",
    limit: 1.3,
    of: "a memcpy from the same places",
    because: COLD,
    measured: (figures) => figures.ratio("native", "get", "splinter", `1,000 keys, ${size}`),
  })),
  {
    what: `Get, ${KEYS_1M}`,
    bound: "most",
    limit: 1.25,
    of: "a `HashMap`'s",
    because:
      "Index, slot and value lie in three places, key and value of a `HashMap` that holds both itself in one or two, and each has to come " +
      "from memory. A batch waits for many at once.",
    measured: native("get", "splinter", KEYS_1M, "HashMap"),
  },
  {
    what: `Get of 64 at once, ${KEYS_1M}`,
    bound: "most",
    limit: 0.5,
    of: "one by one",
    measured: native("get-many", "splinter", KEYS_1M, "splinter, one by one"),
  },
  ...["64 B", "4 KiB"].flatMap((size): Target[] => [
    {
      what: `Reader of one key beside its writer, ${size}`,
      bound: "least",
      limit: 1,
      of: "LMDB's rate",
      measured: native("hot-reader", "splinter", `${size}, beside a writer`, "LMDB"),
    },
    {
      what: `Writer of one key beside its reader, ${size}`,
      bound: "least",
      limit: 2,
      of: "LMDB's rate",
      measured: native("hot-writer", "splinter", size, "LMDB"),
    },
  ]),
  {
    what: "Reader of 64,000 keys beside a writer",
    bound: "least",
    limit: 0.8,
    of: "its rate alone",
    because:
      "Both share the memory and its caches, whatever they read and write: LMDB's reader slows down as much beside its writer, from which " +
      "it shares nothing.",
    measured: (figures) =>
      figures.value("native", "spread-reader", "splinter", "64 B, beside a writer") /
      figures.value("native", "spread-reader", "splinter", "64 B, alone"),
  },
  ...["get", "set"].map((operation): Target => ({
    what: `Key handle, ${operation} of 64 B`,
    bound: "most",
    limit: 1.5,
    of: "iceoryx2's blackboard handle",
    because: ALONE,
    measured: native(`handle-${operation}`, "splinter, handle", KEYS_1K, "iceoryx2 blackboard, handle"),
  })),
  ...[["bun", "Bun", 2.5], ["deno", "Deno", 4]].flatMap(([suite, name, limit]): Target[] => [
    {
      what: `\`getInto\` by string key in ${name}`,
      bound: "most",
      limit: Number(limit),
      of: "the bare FFI call",
      because: BARE,
      measured: (figures) => figures.ratio(String(suite), "get", "getInto", KEYS_1K),
    },
    {
      what: `\`getInto\` of a key object in ${name}`,
      bound: "most",
      limit: 1.5,
      of: "the bare FFI call",
      because: BARE,
      measured: (figures) => figures.ratio(String(suite), "get", "key.getInto", KEYS_1K),
    },
    {
      what: `\`getString\` in ${name}`,
      bound: "most",
      limit: 1.2,
      of: "`getInto` and the decode of a fixed buffer",
      measured: (figures) => figures.ratio(String(suite), "get-string", "getString", KEYS_1K),
    },
    {
      what: `\`set\` of bytes in ${name}`,
      bound: "most",
      limit: 1.3,
      of: "`getInto` and the native difference",
      measured: (figures) => {
        const difference = figures.value("native", "set", "splinter", KEYS_1K) -
          figures.value("native", "get", "splinter", KEYS_1K);
        return figures.value(String(suite), "set", "set bytes", KEYS_1K) /
          (figures.value(String(suite), "get", "getInto", KEYS_1K) + difference);
      },
    },
  ]),
  ...[["wake-one", "one processor"], ["wake-two", "two processors"]].flatMap(([group, place]): Target[] => [
    {
      what: `Wake of a \`poll\`, ${place}`,
      bound: "most",
      limit: 1.3,
      of: "the bare futex",
      measured: (figures) => figures.ratio("native", group, POLL, "64 B"),
    },
    ...["Bun", "Deno"].map((runtime): Target => ({
      what: `Wake of a \`for await\` in ${runtime}, ${place}`,
      bound: "most",
      limit: 3,
      of: "a native `poll`",
      because: HOPS,
      measured: native(group, `splinter, for await in ${runtime}`, "64 B", POLL),
    })),
  ]),
  {
    what: "A change beside 1,000 watches that do not match",
    bound: "most",
    limit: 1.25,
    of: "one beside none",
    measured: (figures) => figures.ratio("native", "many-watches", "1,000 watches", "10,000 sets"),
  },
];
