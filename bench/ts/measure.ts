/**
 * Measures contenders in turn: a slice of each, after one that is not timed, and again, in many rounds. Whatever else the
 * machine does meets all of them alike, so that their ratios hold where their values drift.
 */
import type { Result } from "../schema.ts";

/** One of those that do the same work. */
export interface Contender {
  readonly name: string;
  readonly kind: Result["kind"];
  /** What one operation finds: a contender that finds anything else does other work than it should. */
  readonly finds: number;
  /** Windows begin and end at multiples of it, for those that do many operations in one call. 1, if nothing is said. */
  readonly step?: number;
  /**
   * Does the operations with these numbers. Each contender has a loop of its own: the compilers of both runtimes make the best of
   * a loop that calls one function, and less of one that calls all of them.
   *
   * @param from The first.
   * @param to One more than the last.
   * @returns The sum of what was found.
   */
  run(from: number, to: number): number | Promise<number>;
}

/** How thoroughly. */
export interface Effort {
  /** How often each contender has its turn. */
  readonly rounds: number;
  /** How long each runs before, in milliseconds: the compilers need some time. */
  readonly warmUpMs: number;
}

/** The numbers of operations are below this. */
export const OPERATIONS = 65_536;

/** How long a turn is, about, in milliseconds: long beside a glance at the clock, short beside what disturbs a machine. */
const SLICE_MS = 1;

/** How long the process sleeps before each turn, in milliseconds. */
const PAUSE_MS = 1;

/**
 * Measures.
 *
 * @param contenders Who.
 * @param scale The name of the one whose times the ratios refer to.
 * @param column The case.
 * @param effort How thoroughly.
 * @returns A result for each contender, in nanoseconds an operation.
 */
export async function measure(
  contenders: readonly Contender[],
  scale: string,
  column: string,
  effort: Effort,
): Promise<Result[]> {
  const turns: Turn[] = [];
  for (const contender of contenders) {
    const turn = new Turn(contender);
    await turn.warmUp(effort.warmUpMs);
    turns.push(turn);
  }
  const times = turns.map((): number[] => []);
  for (let round = 0; round < effort.rounds; round++) {
    for (const [i, turn] of turns.entries()) times[i].push(await turn.take());
  }
  const scaleTimes = times[contenders.findIndex(({ name }) => name === scale)];
  return contenders.map(({ name, kind }, i) => resultOf({ contender: name, kind, case: column }, times[i], scaleTimes));
}

/** The turns of one contender. */
class Turn {
  readonly #contender: Contender;
  readonly #step: number;
  #operations: number;
  #next = 0;

  constructor(contender: Contender) {
    this.#contender = contender;
    this.#step = contender.step ?? 1;
    this.#operations = this.#step;
  }

  /** Runs until the time is over, and finds how many operations fill a slice. */
  async warmUp(milliseconds: number): Promise<void> {
    const end = performance.now() + milliseconds;
    do {
      const slice = await this.#run() * this.#operations / 1e6;
      const wanted = this.#operations * Math.min(2, SLICE_MS / slice);
      const most = OPERATIONS / this.#step;
      this.#operations = this.#step * Math.min(Math.max(Math.round(wanted / this.#step), 1), most);
    } while (performance.now() < end);
  }

  /** Takes one turn, and gives the nanoseconds of an operation. */
  async take(): Promise<number> {
    // Who has slept is not interrupted soon: else, on a busy machine, the slices that come late after a pause would seem slow.
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    // The one before left the caches full of what is its own, and the first to use a store again would pay for all of us.
    await this.#run();
    return await this.#run();
  }

  async #run(): Promise<number> {
    const { name, finds, run } = this.#contender;
    const count = this.#operations;
    const from = this.#next + count > OPERATIONS ? 0 : this.#next;
    this.#next = from + count;
    const start = performance.now();
    const running = run(from, from + count);
    // Waiting for what is there already would cost others' time too.
    const found = typeof running === "number" ? running : await running;
    const elapsed = performance.now() - start;
    if (found !== count * finds) throw new Error(`${name} found ${found} in ${count} operations, not ${finds} in each`);
    return elapsed * 1e6 / count;
  }
}

/**
 * Sums up the rounds of one contender.
 *
 * @param head Who it is.
 * @param values One value a round.
 * @param scale Those of the scale in the same rounds.
 * @returns The result.
 */
export function resultOf(
  head: Pick<Result, "contender" | "kind" | "case">,
  values: readonly number[],
  scale: readonly number[],
): Result {
  const value = quantile(values, 0.5);
  return {
    ...head,
    value,
    ratio: quantile(values.map((value, round) => value / scale[round]), 0.5),
    spread: (quantile(values, 0.75) - quantile(values, 0.25)) / value,
  };
}

/**
 * Finds a quantile.
 *
 * @param values Some values.
 * @param share Which share of them is to be below it.
 * @returns The nearest of the values.
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)];
}
