/**
 * Labels by their names, which every process of the store may give and take.
 *
 * @module
 */
import { InvalidArgumentError } from "./errors.ts";
import { quote } from "./failures.ts";
import { LABELS } from "./layout.ts";
import { decode, Memory, roundUp } from "./scratch.ts";
import type { Labels } from "./types.ts";

/** What all names take together at most, with what stands before them. */
const NAMES_BYTES = 4096;

/** What stands before a name: the number of the label, and the length of the name. */
const HEAD_BYTES = 8;

const NO_LABELS: ReadonlyMap<number, string> = new Map();

/** The names of the labels at one moment, read only if they are needed. */
export class LabelNames {
  readonly #fetch: (bytes: Uint8Array) => number;
  #names: Map<number, string> | undefined;

  /**
   * Prepares the reading.
   *
   * @param fetch Fills memory with the names, as `spl_label_names` does.
   */
  constructor(fetch: (bytes: Uint8Array) => number) {
    this.#fetch = fetch;
  }

  /**
   * Reads the names.
   *
   * @returns The names, by the numbers of the labels.
   */
  read(): Map<number, string> {
    if (this.#names !== undefined) return this.#names;
    const { bytes, words } = new Memory(NAMES_BYTES);
    const filled = this.#fetch(bytes);
    const names = new Map<number, string>();
    for (let at = 0; at < filled;) {
      const name = at + HEAD_BYTES;
      const end = name + words[(at >> 2) + 1];
      names.set(words[at >> 2], decode(bytes.subarray(name, end)));
      at = roundUp(end);
    }
    return this.#names = names;
  }

  /**
   * Makes a mask of labels.
   *
   * @param labels The labels.
   * @returns One bit for each.
   */
  mask(labels: Labels): bigint {
    if (Array.isArray(labels)) return labels.reduce((mask: bigint, label) => mask | this.#bits(label), 0n);
    return this.#bits(labels as string | number | bigint);
  }

  /**
   * Names the labels of a mask.
   *
   * @param mask One bit for each.
   * @returns Their names, or their numbers where they have none.
   */
  list(mask: bigint): (string | number)[] {
    const names = mask === 0n ? NO_LABELS : this.read();
    const list: (string | number)[] = [];
    for (let label = 0; label < LABELS; label++) {
      if (mask >> BigInt(label) & 1n) list.push(names.get(label) ?? label);
    }
    return list;
  }

  #bits(label: string | number | bigint): bigint {
    if (typeof label === "bigint" && BigInt.asUintN(LABELS, label) === label) return label;
    if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label < LABELS) {
      return 1n << BigInt(label);
    }
    if (typeof label === "string") {
      for (const [number, name] of this.read()) if (name === label) return 1n << BigInt(number);
      throw new InvalidArgumentError(`No label has the name ${quote(label)}`);
    }
    throw new InvalidArgumentError(
      `A label must be its name, its number from 0 to 63, or a bigint with a bit for each`,
    );
  }
}
