/**
 * What each operation costs in a runtime, all in one run: the best of many rounds, interleaved, with a `Map` as the scale.
 * Prints a Markdown table.
 */
import type { SplinterConstructor } from "../ts/splinter.ts";

const VALUE_BYTES = 64;
const BATCH = 64;

/**
 * Measures and prints.
 *
 * @param Splinter The runtime's.
 * @param runtime Its name.
 * @param count How many keys.
 * @param rounds How often each is measured.
 */
export function measure(Splinter: SplinterConstructor, runtime: string, count = 1000, rounds = 100): void {
  using store = Splinter.anonymous({ slots: 3 * count, maxValueSize: VALUE_BYTES, autoVacuum: false });
  const names = Array.from({ length: count }, (_, i) => `sensor/${String(i).padStart(5, "0")}`);
  const value = new Uint8Array(VALUE_BYTES).fill(1);
  const buffer = new Uint8Array(VALUE_BYTES);
  const text = "x".repeat(VALUE_BYTES);
  const map = new Map(names.map((name) => [name, value]));
  for (const name of names) store.set(name, value);
  const keys = names.map((name) => store.key(name));
  const timed = names.map((name) => `timed/${name}`);
  const counters = names.map((name) => `count/${name}`);
  const batches = Array.from({ length: count / BATCH }, (_, i) => names.slice(i * BATCH, (i + 1) * BATCH));
  const entries = batches.map((batch) => batch.map((name) => [name, value] as const));
  let sink = 0;
  const each = (step: (i: number) => unknown) => () => {
    for (let i = 0; i < count; i++) if (step(i) !== null) sink++;
    return count;
  };
  const batched = (step: (i: number) => unknown) => () => {
    for (let i = 0; i < batches.length; i++) if (step(i) !== null) sink++;
    return batches.length * BATCH;
  };
  const rows: [name: string, run: () => number][] = [
    ["`Map.get` and a copy, the scale", each((i) => buffer.set(map.get(names[i])!))],
    ["`getInto`", each((i) => store.getInto(names[i], buffer))],
    ["`getInto` of a key object", each((i) => keys[i].getInto(buffer))],
    ["`get`", each((i) => store.get(names[i]))],
    ["`getString`", each((i) => store.getString(names[i]))],
    ["`getEntry`", each((i) => store.getEntry(names[i]))],
    ["`getMany`, a key", batched((i) => store.getMany(batches[i]))],
    ["`view`", each((i) => store.view(names[i], (bytes) => bytes[0]))],
    ["`has`", each((i) => store.has(names[i]))],
    ["`epoch`", each((i) => store.epoch(names[i]))],
    ["`changed` of a key object", each((i) => keys[i].changed())],
    ["`set` of bytes", each((i) => store.set(names[i], value))],
    ["`set` of bytes by a key object", each((i) => keys[i].set(value))],
    ["`set` of text", each((i) => store.set(names[i], text))],
    ["`setMany` of bytes, a key", batched((i) => store.setMany(entries[i]))],
    ["`set` with `ttlMs`", each((i) => store.set(timed[i], value, { ttlMs: 86_400_000 }))],
    ["`set` with `ifPresent`", each((i) => store.set(names[i], value, { ifPresent: true }))],
    ["`add`", each((i) => store.add(counters[i], 1n))],
    ["`expire`", each((i) => store.expire(timed[i], 86_400_000))],
    ["`set` and `append`", each((i) => (store.set(names[i], ""), store.append(names[i], "token")))],
    [
      "`label`, given and taken",
      each((i) => (store.label(names[i], { add: [0] }), store.label(names[i], { remove: [0] }))),
    ],
  ];
  const best = rows.map(() => Infinity);
  for (let round = 0; round < rounds; round++) {
    for (const [at, [, run]] of rows.entries()) {
      const start = performance.now();
      const steps = run();
      best[at] = Math.min(best[at], (performance.now() - start) * 1e6 / steps);
    }
  }
  if (sink === 0) throw new Error("Nothing was measured");
  console.log(`| ${runtime}, ${count} keys of 12 characters, values of ${VALUE_BYTES} bytes | ns |\n|---|---|`);
  for (const [at, [name]] of rows.entries()) console.log(`| ${name} | ${best[at].toFixed(0)} |`);
}
