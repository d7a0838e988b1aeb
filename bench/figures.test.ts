import { expect, test } from "bun:test";
import { Figures, losses, regressions } from "./figures.ts";
import type { Document, Group, Result } from "./schema.ts";

function result(contender: string, kind: Result["kind"], value: number, ratio: number | null = null): Result {
  return { contender, kind, case: "64 B", value, ratio, spread: 0 };
}

function documents(better: Group["better"], results: Result[]): Document[] {
  const group: Group = {
    id: "get",
    section: "operations",
    title: "Get",
    unit: "ns",
    better,
    scale: "array",
    notes: [],
    results,
  };
  const machine = { processor: "", processors: 2, memoryGiB: 1, kernel: "" };
  return [{
    schema: 1,
    suite: "native",
    date: "",
    quick: false,
    machine,
    versions: {},
    skipped: [],
    groups: [group],
  }];
}

test("a peer that is ahead of the best of ours is a loss, and a floor is not", () => {
  const results = [
    result("array", "floor", 1),
    result("ours", "us", 10),
    result("ours, sterile", "us", 30),
    result("slower", "peer", 20),
    result("as fast", "peer", 9.9),
    result("faster", "peer", 5),
  ];
  const [loss, ...others] = losses(documents("less", results));
  expect([loss.ours.contender, loss.theirs.contender, loss.times]).toEqual(["ours", "faster", 2]);
  expect(others).toEqual([]);
  expect(losses(documents("more", results)).map((loss) => loss.theirs.contender)).toEqual([]);
  const rates = [result("ours", "us", 10), result("more", "peer", 15), result("less", "peer", 5)];
  expect(losses(documents("more", rates)).map(({ theirs, times }) => [theirs.contender, times])).toEqual([[
    "more",
    1.5,
  ]]);
});

test("a ratio of ours that is worse by more than a quarter is a regression, in either direction", () => {
  const of = (better: Group["better"], ratio: number) =>
    new Figures(documents(better, [result("array", "floor", 1, 1), result("ours", "us", 1, ratio)]));
  const worse = (better: Group["better"], before: number, now: number) =>
    regressions(of(better, before), of(better, now)).worse.length;
  expect([worse("less", 2, 2.49), worse("less", 2, 2.51), worse("less", 2, 1)]).toEqual([0, 1, 0]);
  expect([worse("more", 2, 1.61), worse("more", 2, 1.59), worse("more", 2, 4)]).toEqual([0, 1, 0]);
});

test("peers, floors, and cases that were not measured before are not compared", () => {
  const before = new Figures(documents("less", [result("peer", "peer", 1, 1), result("ours", "us", 1, 1)]));
  const now = new Figures(documents("less", [
    result("peer", "peer", 1, 9),
    result("ours", "us", 1, 1),
    result("ours, new", "us", 1, 9),
  ]));
  expect(regressions(before, now)).toEqual({ compared: 1, worse: [] });
});
