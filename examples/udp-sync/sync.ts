/**
 * Keeps the stores of several hosts alike, by UDP broadcasts. For Bun and Deno, one process for each store:
 *
 *     bun add splinter-bus
 *     bun sync.ts app.splinter anna 192.168.1.255
 *
 * In Deno: `deno run --allow-ffi --allow-read --allow-write --allow-net --allow-env sync.ts app.splinter berta 192.168.1.255`.
 *
 * The last writer wins. Of two versions of a key the one is later that more changes have led to; of two with as many changes
 * the one that was noticed later by its host's clock; of those the one whose host has the greater name. So all hosts choose
 * the same, in whatever order they hear of them, and of changes that were made at once all but one are lost.
 *
 * Datagrams get lost. Therefore each host tells every second which version it has of which key, and gets or gives what
 * is missing: a lost change comes late, and a host that was away catches up. This costs a line for each key a second.
 * A deletion is remembered for a day: a host that was away for longer brings the key back. Times to live and labels
 * stay on their host. Whoever can send to the port can write to the store: use it in a network that you trust.
 */
import { createSocket } from "node:dgram";
import process from "node:process";
import { Splinter, type ValueType } from "splinter-bus";

const PORT = 7777;
const ROUND_MS = 1000;
const DELETED_MS = 24 * 3600 * 1000;
/** Of the values that fit into a datagram. */
const VALUE_BYTES_MAX = 60_000;
/** Of what is told in one datagram about keys, so that it needs no fragments. */
const LISTED_BYTES = 1200;

/** How many changes have led to it, when the last of them was noticed, and by whom. */
type Version = [changes: number, time: number, host: string];

/** What was known of a key last: its version, and the epoch that it had here, `null` if it was deleted. */
interface Known {
  version: Version;
  epoch: string | null;
}

/** What a datagram says, in JSON. Behind a value's `type` and a newline come its bytes. */
interface Message {
  from: string;
  /** A key is set, if there is a type, or deleted. */
  change?: { key: string; version: Version; type: ValueType | null };
  /** What the sender has. */
  has?: [key: string, version: Version][];
  /** What the sender wants to be sent. */
  wants?: string[];
}

const [path, host, broadcast] = process.argv.slice(2);
if (!broadcast) throw new Error("usage: sync.ts STORE HOST BROADCAST-ADDRESS");

const encoder = new TextEncoder();
const decoder = new TextDecoder();
using store = Splinter.openOrCreate(path);
const { slots } = store.getBusHeaderSnapshot();
// Beside the store, so that whoever uses that sees nothing of it. Deletions make room for each other.
using versions = Splinter.openOrCreate(`${path}.versions`, { slots: 4 * slots, maxValueSize: 256, eviction: "ttl" });

const socket = createSocket({ type: "udp4", reuseAddr: true });
socket.on("message", (datagram) => receive(new Uint8Array(datagram)));
// Such as that the network is down. What was not sent is told again.
socket.on("error", (error) => console.error(error.message));
await new Promise<void>((resolve) => socket.bind(PORT, resolve));
socket.setBroadcast(true);
setInterval(() => tellAll(), ROUND_MS);
console.log(`${host} keeps ${path} in step`);

// What was changed before this was started comes first.
for await (const { key } of store.watch({ prefix: "" }, { initial: true, values: false })) current(key);

/** A key as it is here now; `null` if there never was one. A change since it was looked at last is told to the others. */
function current(key: string) {
  const entry = store.getEntry(key);
  const known = versions.getJSON<Known>(key);
  if (!entry && !known) return null;
  const epoch = entry && `${entry.epoch}`;
  if (known?.epoch === epoch) return { version: known.version, entry };
  const changes = entry && known?.epoch ? Number((entry.epoch - BigInt(known.epoch)) / 2n) : 1;
  const version: Version = [(known?.version[0] ?? 0) + changes, Date.now(), host];
  know(key, { version, epoch });
  const now = { version, entry };
  tell(key, now);
  return now;
}

function know(key: string, known: Known): void {
  versions.set(key, known, known.epoch === null ? { ttlMs: DELETED_MS } : {});
}

function tell(key: string, { version, entry }: NonNullable<ReturnType<typeof current>>): void {
  if (entry && entry.value.length > VALUE_BYTES_MAX) return console.error(`"${key}" is too large for a datagram`);
  send({ change: { key, version, type: entry && entry.type } }, entry?.value);
}

/** Tells what is here, in as many datagrams as it takes. */
function tellAll(): void {
  let has: Message["has"] = [];
  let bytes = 0;
  for (const key of versions.keys()) {
    // A deletion while this was not running is noticed here.
    const now = current(key);
    if (!now) continue;
    has.push([key, now.version]);
    bytes += key.length + host.length + 40;
    if (bytes < LISTED_BYTES) continue;
    send({ has });
    [has, bytes] = [[], 0];
  }
  if (has.length > 0) send({ has });
}

function send(message: Omit<Message, "from">, value = new Uint8Array()): void {
  const header = encoder.encode(`${JSON.stringify({ from: host, ...message })}\n`);
  const datagram = new Uint8Array(header.length + value.length);
  datagram.set(header);
  datagram.set(value, header.length);
  socket.send(datagram, PORT, broadcast, (error) => error && console.error(error.message));
}

function receive(datagram: Uint8Array): void {
  try {
    const end = datagram.indexOf(10);
    const { from, change, has, wants }: Message = JSON.parse(decoder.decode(datagram.subarray(0, end)));
    if (from === host) return;
    if (change) apply(change.key, change.version, change.type, datagram.slice(end + 1));
    const missing: string[] = [];
    for (const [key, version] of has ?? []) {
      const here = current(key);
      const order = here ? compare(here.version, version) : -1;
      if (order < 0) missing.push(key);
      if (here && order > 0) tell(key, here);
    }
    if (missing.length > 0) send({ wants: missing });
    for (const key of wants ?? []) {
      const here = current(key);
      if (here) tell(key, here);
    }
  } catch (error) {
    // What is no message, or does not fit into this store, is left alone.
    console.error(error instanceof Error ? error.message : error);
  }
}

/** Takes over a version that is later than the one here. */
function apply(key: string, version: Version, type: ValueType | null, value: Uint8Array): void {
  for (;;) {
    const here = current(key);
    if (here && compare(here.version, version) >= 0) return;
    const ifEpoch = here?.entry?.epoch ?? null;
    let epoch: bigint | null = null;
    if (type !== null || ifEpoch !== null) {
      const result = type === null ? store.unset(key, { ifEpoch }) : store.set(key, value, { type, ifEpoch });
      // Somebody on this host was quicker: that is another version, to be compared first.
      if (!result.ok) continue;
      epoch = result.epoch;
    }
    // Who dies before this takes the version for a change of his own, of the same value: all get to the same still.
    return know(key, { version, epoch: type === null ? null : `${epoch}` });
  }
}

/** More than 0 if the first is later. */
function compare(a: Version, b: Version): number {
  return a[0] - b[0] || a[1] - b[1] || (a[2] < b[2] ? -1 : a[2] > b[2] ? 1 : 0);
}
