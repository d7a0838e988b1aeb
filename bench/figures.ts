/** What is drawn from the figures by looking them up: the targets, where others are ahead, and what has become worse. */
import type { Document, Group, Result } from "./schema.ts";

/** The figures of one run, by what they are of. */
export class Figures {
  readonly documents: readonly Document[];

  constructor(documents: readonly Document[]) {
    this.documents = documents;
  }

  group(suite: string, id: string): Group | undefined {
    return this.documents.find((document) => document.suite === suite)?.groups.find((group) => group.id === id);
  }

  result(suite: string, id: string, contender: string, name: string): Result | undefined {
    return this.group(suite, id)?.results.find((result) => result.contender === contender && result.case === name);
  }

  /** A figure; not a number if it was not measured. */
  value(suite: string, id: string, contender: string, name: string): number {
    return this.result(suite, id, contender, name)?.value ?? NaN;
  }

  /** A ratio to the group's scale; not a number if it was not measured. */
  ratio(suite: string, id: string, contender: string, name: string): number {
    return this.result(suite, id, contender, name)?.ratio ?? NaN;
  }
}

/** How many times worse a value is than another; less than 1 if it is better. */
export function timesWorse(better: Group["better"], value: number, than: number): number {
  return better === "less" ? value / than : than / value;
}

/** A case in which somebody else was ahead of the best of ours. */
export interface Loss {
  suite: string;
  group: Group;
  case: string;
  ours: Result;
  theirs: Result;
  times: number;
}

/** Less than this is within the noise of two figures of one run. */
const AHEAD = 1.05;

export function losses(documents: readonly Document[]): Loss[] {
  const found: Loss[] = [];
  for (const { suite, groups } of documents) {
    for (const group of groups) {
      const compare = (a: Result, b: Result) => group.better === "less" ? a.value - b.value : b.value - a.value;
      for (const name of new Set(group.results.map((result) => result.case))) {
        const results = group.results.filter((result) => result.case === name);
        const ours = results.filter((result) => result.kind === "us").sort(compare).at(0);
        if (ours === undefined) continue;
        for (const theirs of results.filter((result) => result.kind === "peer")) {
          const times = timesWorse(group.better, ours.value, theirs.value);
          if (times > AHEAD) found.push({ suite, group, case: name, ours, theirs, times });
        }
      }
    }
  }
  return found.sort((a, b) => b.times - a.times);
}

/** A ratio of ours that was better in an earlier run. */
export interface Regression {
  suite: string;
  group: Group;
  now: Result;
  before: number;
  times: number;
}

/** By how much a ratio may be worse than in the committed report. */
const WORSE = 1.25;

/** What has become worse, and how many ratios were compared. */
export function regressions(before: Figures, now: Figures): { compared: number; worse: Regression[] } {
  let compared = 0;
  const worse: Regression[] = [];
  for (const { suite, groups } of now.documents) {
    for (const group of groups) {
      for (const result of group.results) {
        if (result.kind !== "us" || result.contender === group.scale || result.ratio === null) continue;
        const old = before.ratio(suite, group.id, result.contender, result.case);
        if (Number.isNaN(old)) continue;
        compared++;
        const times = timesWorse(group.better, result.ratio, old);
        if (times > WORSE) worse.push({ suite, group, now: result, before: old, times });
      }
    }
  }
  worse.sort((a, b) => b.times - a.times);
  return { compared, worse };
}
