import assert from "node:assert/strict";
import process from "node:process";
import { FullError, OverflowError, ValueTooLargeError, WrongTypeError } from "../errors.ts";
import type { Store } from "../store.ts";
import type { Key, StoreValue, ValueType } from "../types.ts";
import type { Suite } from "./suite.ts";

/** How many random operations are compared. */
const ROUNDS = Number(process.env.SPLINTER_TEST_ROUNDS ?? 3000);

const SLOTS = 12;
const MAX_VALUE = 96;
const MASK = 2n ** 64n - 1n;

/** Enough for nothing to end during a test, and enough to be told from "for ever". */
const LONG_MS = 1e9;

/** What a write that has no room comes to. */
const ERRORS = [FullError, ValueTooLargeError] as const;

interface Held {
  bytes: number[];
  epoch: bigint;
  type: ValueType;
  isTimed: boolean;
  isPinned: boolean;
  labels: bigint;
}

/** Random numbers that a seed repeats (mulberry32). */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  below(limit: number): number {
    this.#state = this.#state + 0x6d2b79f5 | 0;
    let t = Math.imul(this.#state ^ this.#state >>> 15, 1 | this.#state);
    t = t + Math.imul(t ^ t >>> 7, 61 | t) ^ t;
    return ((t ^ t >>> 14) >>> 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  number(): bigint {
    const word = BigInt(this.below(2 ** 32)) << 32n | BigInt(this.below(2 ** 32));
    return word >> BigInt(this.pick([0, 1, 32, 56]));
  }

  value(): StoreValue {
    const length = this.pick([0, 1, 7, 8, 9, 31, 33, MAX_VALUE, MAX_VALUE + 1]);
    return this.pick<() => StoreValue>([
      () => "x".repeat(length),
      () => "é".repeat(length >> 1),
      () => Uint8Array.from({ length }, () => this.below(256)),
      () => ({ n: this.below(1000) }),
      () => this.number(),
      () => -(this.number() >> 1n) - 1n,
    ])();
  }
}

const encoder = new TextEncoder();

function bytesOf(value: StoreValue): number[] {
  if (value instanceof Uint8Array) return Array.from(value);
  if (typeof value === "bigint") {
    return Array.from({ length: 8 }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn));
  }
  return Array.from(encoder.encode(typeof value === "string" ? value : JSON.stringify(value)));
}

function typeOf(value: StoreValue): ValueType | undefined {
  if (value instanceof Uint8Array) return undefined;
  if (typeof value === "bigint") return value < 0n ? "bigint" : "biguint";
  return typeof value === "string" ? "text" : "json";
}

/** What a store must do, in memory. */
class Model {
  readonly held = new Map<string, Held>();

  /** What a write of these bytes must come to: a class of errors, or what is held then. */
  write(key: string, bytes: number[], change: Partial<Held>, keeps = false): (typeof ERRORS)[number] | Held {
    const before = this.held.get(key);
    if (bytes.length > MAX_VALUE) return ValueTooLargeError;
    if (before === undefined && this.held.size === SLOTS) return FullError;
    const fresh = { type: "void", isTimed: false, isPinned: false, labels: 0n, epoch: 0n } as const;
    const held: Held = { ...fresh, ...before, ...(keeps ? {} : { isTimed: false }), ...change, bytes };
    this.held.set(key, held);
    return held;
  }
}

/** Random operations do to a store what they do to a model of it. */
export function modelTests({ test, Splinter }: Suite): void {
  test("A store does what its model does, whatever is done", () => {
    const seed = Number(process.env.SPLINTER_TEST_SEED ?? Date.now() % 2 ** 31);
    let step = 0;
    try {
      using whole = Splinter.anonymous({ slots: SLOTS, maxValueSize: MAX_VALUE });
      const dice = new Dice(seed);
      const run = new Run(whole, seed % 2 ? whole.namespace("größe/") : whole, dice);
      for (; step < ROUNDS; step++) run.step();
    } catch (error) {
      throw new Error(`Step ${step} of SPLINTER_TEST_SEED=${seed}: ${(error as Error).message}`, { cause: error });
    }
  });
}

class Run {
  readonly #model = new Model();
  readonly #keys: string[] = Array.from({ length: SLOTS + 3 }, (_, i) => i % 4 ? `key/${i}` : `größe/${i}`);
  readonly #handles: Map<string, Key>;

  constructor(readonly whole: Store, readonly store: Store, readonly dice: Dice) {
    this.#handles = new Map(this.#keys.map((key) => [key, store.key(key)]));
  }

  step(): void {
    const { dice } = this;
    const key = dice.pick(this.#keys);
    dice.pick([
      this.#set,
      this.#set,
      this.#condition,
      this.#handle,
      this.#unset,
      this.#number,
      this.#append,
      this.#life,
    ])
      .call(this, key);
    if (dice.below(16) === 0) this.#many();
    this.#look(key);
    if (dice.below(64) === 0) this.#lookAtAll();
  }

  /** Does a write, and expects what the model says. */
  #expect(key: string, expected: ReturnType<Model["write"]>, write: () => unknown): void {
    if (typeof expected === "function") {
      assert.throws(write, expected);
      return;
    }
    const before = expected.epoch;
    write();
    expected.epoch = this.store.epoch(key) ?? 0n;
    assert.ok(expected.epoch > before, "the epoch does not rise");
  }

  #set(key: string): void {
    const { dice, store } = this;
    const value = dice.value();
    const type = typeOf(value);
    const options = dice.pick(
      [undefined, undefined, { ttlMs: LONG_MS }, { keepTtl: true }, { type: "audio" }] as const,
    );
    const change: Partial<Held> = { ...(type && { type }) };
    if (options && "ttlMs" in options) change.isTimed = true;
    if (options && "type" in options) change.type = options.type;
    const expected = this.#model.write(key, bytesOf(value), change, options && "keepTtl" in options);
    this.#expect(key, expected, () => store.set(key, value, options));
  }

  #condition(key: string): void {
    const { dice, store } = this;
    const held = this.#model.held.get(key);
    const value = dice.value();
    const type = typeOf(value);
    const epoch = held?.epoch ?? null;
    const [condition, holds] = dice.pick<[object, boolean]>([
      [{ ifAbsent: true }, held === undefined],
      [{ ifPresent: true }, held !== undefined],
      [{ ifEpoch: epoch }, true],
      [{ ifEpoch: (epoch ?? 0n) + 2n }, false],
    ]);
    if (bytesOf(value).length > MAX_VALUE) return;
    if (holds) {
      const expected = this.#model.write(key, bytesOf(value), { ...(type && { type }) });
      this.#expect(key, expected, () => {
        const result = store.set(key, value, condition as { ifAbsent: boolean });
        assert.deepEqual(result, { ok: true, epoch: store.epoch(key) });
      });
    } else {
      assert.deepEqual(store.set(key, value, condition as { ifAbsent: boolean }), { ok: false, epoch });
    }
  }

  #handle(key: string): void {
    const value = this.dice.value();
    const type = typeOf(value);
    const expected = this.#model.write(key, bytesOf(value), { ...(type && { type }) });
    const handle = this.#handles.get(key)!;
    handle.changed();
    this.#expect(key, expected, () => handle.set(value));
    assert.equal(handle.changed(), typeof expected !== "function");
  }

  #unset(key: string): void {
    const { dice, store } = this;
    const held = this.#model.held.get(key);
    const size = held?.bytes.length ?? null;
    switch (dice.below(3)) {
      case 0:
        assert.equal(store.unset(key), size);
        break;
      case 1:
        assert.equal(this.#handles.get(key)!.unset(), size);
        break;
      default:
        if (held === undefined) return;
        assert.deepEqual(store.unset(key, { ifEpoch: held.epoch + 2n }), { ok: false, epoch: held.epoch });
        assert.equal(store.unset(key, { ifEpoch: held.epoch }).ok, true);
    }
    this.#model.held.delete(key);
  }

  #number(key: string): void {
    const { dice, store } = this;
    const held = this.#model.held.get(key);
    const signed = dice.below(2) === 1;
    const checked = dice.below(2) === 1;
    const read = (number: bigint) => signed ? BigInt.asIntN(64, number) : number;
    const operand = read(dice.number());
    const before = read(
      BigInt.asUintN(64, (held?.bytes ?? []).reduce((sum, byte, i) => sum | BigInt(byte) << BigInt(8 * i), 0n)),
    );
    const name = dice.pick(["add", "sub", "and", "or", "xor", "not"] as const);
    const result = {
      add: before + operand,
      sub: before - operand,
      and: before & operand,
      or: before | operand,
      xor: before ^ operand,
      not: ~before,
    }[name];
    const wrapped = read(result & MASK);
    const isSum = name === "add" || name === "sub";
    const apply = () =>
      name === "not"
        ? store.not(key, { signed })
        : isSum
        ? store[name](key, operand, { signed, checked })
        : store[name](key, operand, { signed });
    if (held !== undefined && held.bytes.length !== 8) {
      assert.throws(apply, WrongTypeError);
    } else if (isSum && checked && wrapped !== result) {
      // A key that would be new may find no room before it is looked at.
      assert.throws(apply, held === undefined && this.#model.held.size === SLOTS ? Error : OverflowError);
    } else {
      const type = held?.type ?? (signed ? "bigint" : "biguint");
      const expected = this.#model.write(key, bytesOf(wrapped & MASK), { type }, true);
      this.#expect(key, expected, () => assert.equal(apply(), wrapped));
    }
  }

  #append(key: string): void {
    const value = this.dice.value();
    if (typeof value !== "string" && !(value instanceof Uint8Array)) return;
    const whole = [...this.#model.held.get(key)?.bytes ?? [], ...bytesOf(value)];
    const expected = this.#model.write(key, whole, {}, true);
    const to = this.dice.pick([this.store, this.#handles.get(key)!]);
    const append = () => to === this.store ? this.store.append(key, value) : (to as Key).append(value);
    this.#expect(key, expected, () => assert.equal(append(), whole.length));
  }

  /** What changes neither value nor epoch. */
  #life(key: string): void {
    const { dice, store } = this;
    const held = this.#model.held.get(key);
    switch (dice.below(4)) {
      case 0:
        assert.equal(store.expire(key, LONG_MS), held !== undefined);
        if (held) held.isTimed = true;
        break;
      case 1:
        assert.equal(store.persist(key), held?.isTimed === true);
        if (held) held.isTimed = false;
        break;
      case 2: {
        const isPinned = dice.below(2) === 1;
        assert.equal(store.pin(key, isPinned), held !== undefined);
        if (held) held.isPinned = isPinned;
        break;
      }
      default: {
        const add = dice.number();
        const remove = dice.number();
        const labels = store.label(key, { add, remove });
        assert.equal(labels === null, held === undefined);
        if (held) held.labels = held.labels & ~remove | add;
      }
    }
  }

  #many(): void {
    const { dice, store } = this;
    const entries = Array.from({ length: 5 }, () => [dice.pick(this.#keys), dice.value()] as const);
    const fails = entries.findIndex(([key, value]) => typeof this.#model.write(key, bytesOf(value), {}) === "function");
    if (fails < 0) store.setMany(entries);
    else assert.throws(() => store.setMany(entries), { stored: fails });
    for (const [key] of entries) {
      const held = this.#model.held.get(key);
      if (held) held.epoch = store.epoch(key) ?? 0n;
    }
    assert.deepEqual(
      store.getMany(this.#keys).map((value) => value && Array.from(value)),
      this.#keys.map((key) => this.#model.held.get(key)?.bytes ?? null),
    );
  }

  /** Compares one key, in one of the ways to look at it. */
  #look(key: string): void {
    const { dice, store } = this;
    const held = this.#model.held.get(key);
    const handle = this.#handles.get(key)!;
    const bytes = dice.pick([
      () => store.getRaw(key),
      () => store.getEntry(key)?.value ?? null,
      () => store.view(key, (bytes) => bytes.slice()),
      () => handle.get(),
      () => store.getMany([key])[0],
    ])();
    assert.deepEqual(bytes && Array.from(bytes), held?.bytes ?? null);
    assert.deepEqual([store.has(key), handle.has()], [held !== undefined, held !== undefined]);
    assert.deepEqual([store.epoch(key), handle.epoch()], [held?.epoch ?? null, held?.epoch ?? null]);
    const slot = store.getSlotSnapshot(key);
    assert.deepEqual(
      slot && [slot.type, slot.ttl < Infinity, slot.pinned, slot.labels, store.getEntry(key)?.type],
      held ? [held.type, held.isTimed, held.isPinned, held.labels, held.type] : null,
    );
  }

  #lookAtAll(): void {
    const { dice, store } = this;
    const labels = 1n << BigInt(dice.below(64));
    const held = Array.from(this.#model.held);
    const sorted = (keys: Iterable<string>) => Array.from(keys).sort();
    assert.deepEqual(sorted(store.list()), sorted(this.#model.held.keys()));
    assert.deepEqual(
      sorted(store.keys({ labels })),
      sorted(held.filter(([, held]) => held.labels & labels).map(([key]) => key)),
    );
    for (const { key, ...entry } of store.scan()) {
      const { epoch, type, bytes, labels } = this.#model.held.get(key)!;
      assert.deepEqual(entry, { epoch, type, size: bytes.length, labels });
    }
    assert.equal(this.whole.list().length, held.length);
  }
}
