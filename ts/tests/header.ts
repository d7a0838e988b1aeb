/** Compares what this side declares with what `splinter_bus.h` says: drift fails here, not in a crash. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ERROR_NUMBERS } from "../errors.ts";
import * as layout from "../layout.ts";
import type { Suite } from "./suite.ts";

/** A function as a runtime declares it. */
export interface Signature {
  parameters: readonly string[];
  result: string;
}

/** How C spells the types that cross the border by value. */
const SCALARS: Record<string, { type: string; bytes: number }> = {
  uint64_t: { type: "u64", bytes: 8 },
  uint32_t: { type: "u32", bytes: 4 },
  int32_t: { type: "i32", bytes: 4 },
  uint8_t: { type: "u8", bytes: 1 },
  char: { type: "u8", bytes: 1 },
};

const POINTER_BYTES = 8;

/** Registers the comparison for the symbol table of one runtime. */
export function headerTests(test: Suite["test"], symbols: Record<string, Signature>): void {
  test("Every symbol has the signature of the header", () => {
    const declared = functionsOf(readHeader());
    for (const [name, { parameters, result }] of Object.entries(symbols)) {
      assert.deepEqual({ parameters: [...parameters], result }, declared.get(name), name);
    }
  });

  test("Every error has the number of the header", () => {
    // Only results that are no success are negative.
    const declared = [...readHeader().matchAll(/\bSPL_(\w+)\W+-(\d+)\b/g)].map((
      [, name, number],
    ) => [name, Number(number)]);
    const { LIBRARY_NOT_FOUND: _, UNSUPPORTED: __, ...ours } = ERROR_NUMBERS;
    assert.deepEqual(Object.fromEntries(declared), { NO_KEY: -layout.NO_KEY, ...ours });
  });

  test("Every kind and flag of watching has the number of the header", () => {
    const { PatternKind: pattern, WatchFlag: flag, CHANGE_KINDS: kinds } = layout;
    assert.deepEqual(numbersOf("PATTERN"), pattern);
    assert.deepEqual(numbersOf("WATCH"), flag);
    assert.deepEqual(
      numbersOf("CHANGE"),
      Object.fromEntries(kinds.flatMap((kind, number) => kind ? [[kind, number]] : [])),
    );
    assert.match(readHeader(), /#define SPL_NO_VALUE (UINT32_MAX|0xffffffff)/i);
  });

  test("Every number of writing has the number of the header", () => {
    const { Condition, SetFlag, Operator, OperatorFlag } = layout;
    assert.deepEqual(numbersOf("IF"), Condition);
    assert.deepEqual(numbersOf("SET"), { ttl: SetFlag.ttl, type: SetFlag.type });
    assert.deepEqual(numbersOf("KEEP"), { ttl: SetFlag.keepTtl });
    assert.deepEqual(numbersOf("TYPE"), numbered(layout.VALUE_TYPES));
    assert.deepEqual(numbersOf("EVICT"), numbered(layout.EVICTIONS));
    const all = numbersOf("");
    for (const [name, number] of Object.entries({ ...Operator, ...OperatorFlag })) {
      assert.equal(all[name], number, name);
    }
    assert.match(readHeader(), /#define SPL_NO_DEADLINE (UINT64_MAX|0xffffffffffffffff)/i);
  });

  test("Every struct has the layout of the header", () => {
    const structs: [name: string, offsets: Record<string, number>, size: number][] = [
      ["spl_options", layout.OPTIONS, layout.OPTIONS_BYTES],
      ["spl_error", layout.ERROR, layout.ERROR_BYTES],
      ["spl_slot_snapshot", layout.SLOT, layout.SLOT_BYTES],
      ["spl_header_snapshot", layout.HEADER, layout.HEADER_BYTES],
      ["spl_cursor", layout.CURSOR, layout.CURSOR_BYTES],
      ["spl_entry", layout.ENTRY, layout.ENTRY_BYTES],
      ["spl_recovery", layout.RECOVERY, layout.RECOVERY_BYTES],
      ["spl_set_options", layout.SET_OPTIONS, layout.SET_OPTIONS_BYTES],
      ["spl_version", layout.VERSION, layout.VERSION_BYTES],
      ["spl_view", layout.VIEW, layout.VIEW_BYTES],
      ["spl_change", layout.CHANGE, layout.CHANGE_BYTES],
    ];
    const header = readHeader();
    for (const [name, offsets, size] of structs) {
      assert.deepEqual(structOf(header, name), { offsets: { ...offsets }, size }, name);
    }
  });
}

/** The header without its comments. */
function readHeader(): string {
  const text = readFileSync(new URL("../../rust/ffi/splinter_bus.h", import.meta.url), "utf8");
  return text.replace(/\/\*[^]*?\*\/|\/\/.*/g, "");
}

/** The numbers of which the names begin alike, by the rest of the name. */
function numbersOf(family: string): Record<string, number> {
  const declared = readHeader().matchAll(new RegExp(`#define SPL_${family && family + "_"}(\\w+) (\\d+)`, "g"));
  return Object.fromEntries(Array.from(declared, ([, name, number]) => [name.toLowerCase(), Number(number)]));
}

function numbered(names: readonly string[]): Record<string, number> {
  return Object.fromEntries(names.map((name, number) => [name, number]));
}

function functionsOf(header: string): Map<string, Signature> {
  const functions = new Map<string, Signature>();
  for (const [, result, name, parameters] of header.matchAll(/^([\w ]+[ *])(spl_\w+)\(([^)]*)\);/gm)) {
    const list = parameters.split(",").map((parameter) => parameter.trim()).filter((text) => text !== "void");
    functions.set(name, { parameters: list.map(typeOf), result: typeOf(result) });
  }
  return functions;
}

/** What a runtime calls a parameter or a result: handles are pointers, every other pointer is a buffer. */
function typeOf(declaration: string): string {
  if (declaration.includes("*")) return /\bspl_(store|key)\b/.test(declaration) ? "pointer" : "buffer";
  const scalar = Object.keys(SCALARS).find((name) => new RegExp(`\\b${name}\\b`).test(declaration));
  return scalar === undefined ? declaration : SCALARS[scalar].type;
}

function structOf(header: string, name: string): { offsets: Record<string, number>; size: number } {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(header)?.[1];
  assert.ok(body, `No struct ${name}`);
  const offsets: Record<string, number> = {};
  let size = 0;
  let alignment = 1;
  for (const [, type, pointer, field, count] of body.matchAll(/(\w+) (\*?)(\w+)(?:\[(\d+)\])?;/g)) {
    const bytes = pointer ? POINTER_BYTES : SCALARS[type].bytes;
    alignment = Math.max(alignment, bytes);
    size = roundUp(size, bytes);
    offsets[field] = size;
    size += bytes * Number(count ?? 1);
  }
  return { offsets, size: roundUp(size, alignment) };
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
