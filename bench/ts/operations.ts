/** The groups `get`, `get-string`, `miss` and `set`: one process that reads and writes. */
import { Buffer } from "node:buffer";
import type { Group } from "../schema.ts";
import { BATCH, type Bench, Loaded, type Shape } from "./loaded.ts";
import { type Contender, type Effort, measure } from "./measure.ts";

/** The scale of most groups. */
const BARE = "bare FFI call";

/** The scale of the group of texts. */
const DECODE = "getInto and decode";

/** Up to this length in bytes `Buffer` is the quicker decoder, beyond it `TextDecoder`. */
const SHORT_TEXT = 256;

/**
 * Measures the groups.
 *
 * @param bench With what.
 * @param shapes The cases.
 * @param effort How thoroughly.
 * @returns The groups.
 */
export async function operations(bench: Bench, shapes: readonly Shape[], effort: Effort): Promise<Group[]> {
  const groups = described(bench.runtime.sqliteName, bench.runtime.redisName);
  for (const shape of shapes) await measureAll(await Loaded.load(bench, shape, null), groups, effort, () => true);
  // Last, with the scales again: one of the clients, once it is loaded, slows down all that reads strings.
  for (const shape of shapes) {
    const redis = await bench.peers.redis();
    if (redis === null) break;
    await measureAll(await Loaded.load(bench, shape, redis), groups, effort, ({ name }) => name.startsWith("Redis"));
  }
  return groups;
}

/** Measures some contenders of each group in one case, closes what was loaded, and adds what was found. */
async function measureAll(
  loaded: Loaded,
  groups: readonly Group[],
  effort: Effort,
  isWanted: (contender: Contender) => boolean,
): Promise<void> {
  try {
    const contenders = [getting(loaded), gettingText(loaded), missing(loaded), setting(loaded)];
    for (const [i, { scale, results }] of groups.entries()) {
      const wanted = new Set(contenders[i].filter(isWanted).map(({ name }) => name));
      const measured = contenders[i].filter(({ name }) => name === scale || wanted.has(name));
      const found = await measure(measured, scale, titleOf(loaded.shape), effort);
      results.push(...found.filter(({ contender }) => wanted.has(contender)));
    }
  } finally {
    await loaded.close();
  }
}

/** The groups before anything is measured, in the order of their contenders. */
function described(sqlite: string, redis: string): Group[] {
  const common = {
    section: "operations",
    unit: "ns",
    better: "less",
    scale: BARE,
  } as const;
  const bare =
    `\`${BARE}\` passes one buffer to a native function that ignores it: no call of a native library can cost less.`;
  const peers =
    `Keys are strings of 12 characters, drawn at random beforehand. Values are bytes that are JSON. \`Map\` is an object of this ` +
    `process alone. All files are in memory, and nothing waits for a disk: SQLite (\`${sqlite}\`, prepared statements) has a ` +
    `write-ahead log and \`synchronous = off\`, lmdb \`noSync\`. Redis is asked by \`${redis}\` over a unix socket, and each call awaited; it is measured last, beside the scale.`;
  const lmdb =
    "`lmdb` reads a snapshot that it renews once per turn of the event loop, and sees no change of another process before.";
  return [
    {
      ...common,
      id: "get",
      title: "Get a value",
      notes: [
        bare,
        peers,
        lmdb +
        " It gives its own memory, which is valid until the next call (`getBinaryFast`); `lmdb, fresh bytes` is `getBinary`.",
        "`getInto` and `Map` copy to a buffer of the caller; `get` and all other peers give fresh bytes.",
        `\`getMany\` and what says so take ${BATCH} keys a call, and a key of them counts.`,
      ],
      results: [],
    },
    {
      ...common,
      id: "get-string",
      title: "Get a value as text or JSON",
      scale: DECODE,
      notes: [
        `\`${DECODE}\` reads into one buffer and decodes from there, with whichever decoder of the runtime is quicker at that length: ` +
        "what a caller could do at best.",
        "`Map` holds strings of this process, of which a reader gets a reference.",
      ],
      results: [],
    },
    {
      ...common,
      id: "miss",
      title: "Look for a key that is not there",
      notes: [bare, "Half of the slots are in use.", lmdb],
      results: [],
    },
    {
      ...common,
      id: "set",
      title: "Set a value",
      notes: [
        bare,
        "Each key exists already. Our stores leave replaced values as they are (`autoVacuum: false`), as all peers do, but for " +
        "`set bytes, sterile`, the default, which wipes them.",
        `\`setMany\` and what says so take ${BATCH} keys a call, or a transaction, and a key of them counts. \`Redis, ${BATCH} at once\` awaits so many together.`,
        "`Map` copies the bytes over those that it holds.",
      ],
      results: [],
    },
  ];
}

function titleOf({ keys, bytes }: Shape): string {
  const count = keys.toLocaleString("en-US");
  return bytes < 1024 ? `${count} keys, ${bytes} B` : `${count} keys, ${bytes / 1024} KiB`;
}

/** Those that get values. */
function getting(loaded: Loaded): Contender[] {
  const { shape: { bytes }, buffer, picks, batches, store, keys, map, sqlite, lmdb, redis } = loaded;
  const contenders: Contender[] = [
    bareCall(loaded),
    {
      name: "getInto",
      kind: "us",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += store.getInto(picks[i], buffer)!;
        return found;
      },
    },
    {
      name: "key.getInto",
      kind: "us",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += keys[i].getInto(buffer)!;
        return found;
      },
    },
    {
      name: "get",
      kind: "us",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += store.get(picks[i])!.length;
        return found;
      },
    },
    {
      name: "getMany",
      kind: "us",
      finds: bytes,
      step: BATCH,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i += BATCH) {
          for (const value of store.getMany(batches[i / BATCH])) found += value!.length;
        }
        return found;
      },
    },
    {
      name: "view",
      kind: "us",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += store.view(picks[i], (value) => value.length)!;
        return found;
      },
    },
    {
      name: "Map",
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) {
          const value = map.get(picks[i])!;
          buffer.set(value);
          found += value.length;
        }
        return found;
      },
    },
    {
      name: sqlite.name,
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += (sqlite.select.get(picks[i]) as { value: Uint8Array }).value.length;
        return found;
      },
    },
  ];
  if (lmdb !== null) {
    contenders.push({
      name: "lmdb",
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += lmdb.bytes.getBinaryFast(picks[i])!.length;
        return found;
      },
    }, {
      name: "lmdb, fresh bytes",
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += lmdb.bytes.getBinary(picks[i])!.length;
        return found;
      },
    });
  }
  if (redis !== null) {
    contenders.push({
      name: "Redis",
      kind: "peer",
      finds: bytes,
      async run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += (await redis.get(picks[i]))!.length;
        return found;
      },
    }, {
      name: `Redis, ${BATCH} a call`,
      kind: "peer",
      finds: bytes,
      step: BATCH,
      async run(from, to) {
        let found = 0;
        for (let i = from; i < to; i += BATCH) {
          for (const value of await redis.getMany(batches[i / BATCH])) found += value!.length;
        }
        return found;
      },
    });
  }
  return contenders;
}

/** Those that get values as text or JSON. */
function gettingText(loaded: Loaded): Contender[] {
  const { shape: { bytes }, object, buffer, picks, store, texts, sqlite, lmdb, redis } = loaded;
  const decode = decoderOf(buffer);
  const contenders: Contender[] = [
    {
      name: DECODE,
      kind: "floor",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += decode(store.getInto(picks[i], buffer)!).length;
        return found;
      },
    },
    {
      name: "getInto, decode and parse",
      kind: "floor",
      finds: object.celsius,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += JSON.parse(decode(store.getInto(picks[i], buffer)!)).celsius;
        return found;
      },
    },
    {
      name: "getString",
      kind: "us",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += store.getString(picks[i])!.length;
        return found;
      },
    },
    {
      name: "getJSON",
      kind: "us",
      finds: object.celsius,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += store.getJSON<typeof object>(picks[i])!.celsius;
        return found;
      },
    },
    {
      name: "Map",
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += texts.get(picks[i])!.length;
        return found;
      },
    },
    {
      name: sqlite.name,
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += (sqlite.selectText.get(picks[i]) as { value: string }).value.length;
        return found;
      },
    },
  ];
  if (lmdb !== null) {
    contenders.push({
      name: "lmdb",
      kind: "peer",
      finds: bytes,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += lmdb.text.get(picks[i])!.length;
        return found;
      },
    });
  }
  if (redis !== null) {
    contenders.push({
      name: "Redis",
      kind: "peer",
      finds: bytes,
      async run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) found += (await redis.getString(picks[i]))!.length;
        return found;
      },
    });
  }
  return contenders;
}

/** Those that look for what is not there. */
function missing(loaded: Loaded): Contender[] {
  const { buffer, absent, store, map, sqlite, lmdb, redis } = loaded;
  const contenders: Contender[] = [
    bareCall(loaded),
    {
      name: "getInto",
      kind: "us",
      finds: 0,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) if (store.getInto(absent[i], buffer) !== null) found++;
        return found;
      },
    },
    {
      name: "has",
      kind: "us",
      finds: 0,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) if (store.has(absent[i])) found++;
        return found;
      },
    },
    {
      name: "Map",
      kind: "peer",
      finds: 0,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) if (map.has(absent[i])) found++;
        return found;
      },
    },
    {
      name: sqlite.name,
      kind: "peer",
      finds: 0,
      run(from, to) {
        let found = 0;
        // One of the runtimes says null, the other undefined.
        for (let i = from; i < to; i++) if ((sqlite.select.get(absent[i]) ?? null) !== null) found++;
        return found;
      },
    },
  ];
  if (lmdb !== null) {
    contenders.push({
      name: "lmdb",
      kind: "peer",
      finds: 0,
      run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) if (lmdb.bytes.getBinaryFast(absent[i]) !== undefined) found++;
        return found;
      },
    });
  }
  if (redis !== null) {
    contenders.push({
      name: "Redis",
      kind: "peer",
      finds: 0,
      async run(from, to) {
        let found = 0;
        for (let i = from; i < to; i++) if (await redis.has(absent[i])) found++;
        return found;
      },
    });
  }
  return contenders;
}

/** Those that set values. */
function setting(loaded: Loaded): Contender[] {
  const { object, text, value, picks, batches, entries, store, sterile, keys, map, sqlite, lmdb, redis } = loaded;
  const contenders: Contender[] = [
    bareCall(loaded),
    {
      name: "set bytes",
      kind: "us",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) store.set(picks[i], value);
        return to - from;
      },
    },
    {
      name: "set bytes, sterile",
      kind: "us",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) sterile.set(picks[i], value);
        return to - from;
      },
    },
    {
      name: "key.set bytes",
      kind: "us",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) keys[i].set(value);
        return to - from;
      },
    },
    {
      name: "set string",
      kind: "us",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) store.set(picks[i], text);
        return to - from;
      },
    },
    {
      name: "set JSON",
      kind: "us",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) store.set(picks[i], object);
        return to - from;
      },
    },
    {
      name: "setMany",
      kind: "us",
      finds: 1,
      step: BATCH,
      run(from, to) {
        for (let i = from; i < to; i += BATCH) store.setMany(entries[i / BATCH]);
        return to - from;
      },
    },
    {
      name: "Map",
      kind: "peer",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) map.get(picks[i])!.set(value);
        return to - from;
      },
    },
    {
      name: sqlite.name,
      kind: "peer",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) sqlite.insert.run(picks[i], value);
        return to - from;
      },
    },
    {
      name: `${sqlite.name}, ${BATCH} a transaction`,
      kind: "peer",
      finds: 1,
      step: BATCH,
      run(from, to) {
        for (let i = from; i < to; i += BATCH) {
          sqlite.database.exec("BEGIN");
          for (const name of batches[i / BATCH]) sqlite.insert.run(name, value);
          sqlite.database.exec("COMMIT");
        }
        return to - from;
      },
    },
  ];

  if (lmdb !== null) {
    contenders.push({
      name: "lmdb",
      kind: "peer",
      finds: 1,
      run(from, to) {
        for (let i = from; i < to; i++) lmdb.bytes.putSync(picks[i], value);
        return to - from;
      },
    }, {
      name: `lmdb, ${BATCH} a transaction`,
      kind: "peer",
      finds: 1,
      step: BATCH,
      run(from, to) {
        for (let i = from; i < to; i += BATCH) {
          lmdb.bytes.transactionSync(() => {
            for (const name of batches[i / BATCH]) lmdb.bytes.putSync(name, value);
          });
        }
        return to - from;
      },
    });
  }
  if (redis !== null) {
    contenders.push({
      name: "Redis",
      kind: "peer",
      finds: 1,
      async run(from, to) {
        for (let i = from; i < to; i++) await redis.set(picks[i], value);
        return to - from;
      },
    }, {
      name: `Redis, ${BATCH} at once`,
      kind: "peer",
      finds: 1,
      step: BATCH,
      async run(from, to) {
        for (let i = from; i < to; i += BATCH) {
          await Promise.all(batches[i / BATCH].map((name) => redis.set(name, value)));
        }
        return to - from;
      },
    });
  }
  return contenders;
}

/** The scale: a call, and nothing else. */
function bareCall({ functions: { bare }, buffer }: Loaded): Contender {
  return {
    name: BARE,
    kind: "floor",
    finds: bare(buffer),
    run(from, to) {
      let found = 0;
      for (let i = from; i < to; i++) found += bare(buffer);
      return found;
    },
  };
}

/** The quickest way to decode what a buffer begins with. */
function decoderOf(buffer: Uint8Array<ArrayBuffer>): (length: number) => string {
  if (buffer.length <= SHORT_TEXT) {
    const bytes = Buffer.from(buffer.buffer);
    return (length) => bytes.toString("utf8", 0, length);
  }
  const decoder = new TextDecoder();
  return (length) => decoder.decode(length === buffer.length ? buffer : buffer.subarray(0, length));
}
