/**
 * Makes the report of benchmark documents, or compares them with earlier ones.
 *
 * - `report.ts write DIRECTORY FILE...` writes `benchmarks.md`, `benchmarks.json` and `benchmarks/*.svg`.
 * - `report.ts join FILE...` prints one JSON array of all documents.
 * - `report.ts check OLD FILE...` lists the ratios that are worse than in an earlier array, and fails if there are any.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { Figures, losses, regressions } from "./figures.ts";
import { digits, plot } from "./plot.ts";
import { type Document, type Group, SECTIONS } from "./schema.ts";
import { TARGETS } from "./targets.ts";

const HEADINGS: Record<typeof SECTIONS[number], string> = {
  operations: "Operations",
  sharing: "Several processes",
  waking: "Waking",
  memory: "Memory",
};
const SUITES: Record<string, string> = { native: "Rust", deno: "Deno", bun: "Bun" };
const IN_PROCESS = new Set(["HashMap", "Map"]);

const METHOD = `
Every figure of a table is of the same work: the same keys of 12 bytes in the same random order, made beforehand, and values that
are copied out. The contenders of a table take turns in short slices of 2 to 4 ms (\`--quick\`: 1 to 2 ms), for many
rounds, in one process; the first quarter of a slice is not counted, since others have used the caches meanwhile. A figure is the median of the
rounds. A ratio, in parentheses, is the median of the ratios to the scale contender, which is marked by (1), of the same round: so
it holds on a machine that does other things now and then, and does not change much from one machine to the next. Order and keys stand
next to each other in memory, so that nobody waits for its own key; operations follow each other without depending on each other, and
the processor overlaps them.

All files are in memory (\`/dev/shm\`), and nobody is asked to put anything on a disk: LMDB with \`NOSYNC\` and \`WRITEMAP\`, redb with
\`Durability::None\`, SQLite with WAL and \`synchronous = OFF\`, Redis without snapshots over a unix socket. Each read sees the newest
value, so LMDB, redb and SQLite have one transaction for each operation, and one for a batch. Where several processes work, each has
slices of 20 to 40 ms.
`.trim();

function read(path: string): Document[] {
  const content: Document | Document[] = JSON.parse(readFileSync(path, "utf8"));
  const documents = Array.isArray(content) ? content : [content];
  for (const { schema, suite } of documents) {
    if (schema !== 1) throw new Error(`"${path}" has a document of schema ${schema}, of "${suite}"`);
  }
  return documents;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [row(head), row(head.map((_, at) => at === 0 ? "---" : "---:")), ...rows.map(row)].join("\n");
}

function unique(names: Iterable<string>): string[] {
  return [...new Set(names)];
}

function groupTable({ results, scale }: Group): string {
  const cases = unique(results.map((result) => result.case));
  const contenders = unique(results.map((result) => result.contender));
  const cell = (contender: string, name: string) => {
    const result = results.find((result) => result.contender === contender && result.case === name);
    if (result === undefined) return "–";
    const { value, ratio } = result;
    return ratio === null ? digits(value) : `${digits(value)} (${contender === scale ? "1" : digits(ratio)})`;
  };
  const name = (contender: string) =>
    results.some((result) => result.contender === contender && result.kind === "us") ? `**${contender}**` : contender;
  return table(
    ["", ...cases],
    contenders.map((contender) => [name(contender), ...cases.map((name) => cell(contender, name))]),
  );
}

function detailsTable({ results }: Group): string {
  const detailed = results.filter((result) => result.details !== undefined);
  if (detailed.length === 0) return "";
  const names = unique(detailed.flatMap((result) => Object.keys(result.details!)));
  const cell = (value: number | undefined) => value === undefined ? "–" : digits(value);
  return table(
    ["", "", ...names],
    detailed.map((result) => [result.contender, result.case, ...names.map((name) => cell(result.details![name]))]),
  );
}

function plotName(suite: string, group: Group): string {
  return `${suite}-${group.id}.svg`;
}

function groupText(suite: string, group: Group): string {
  const parts = [
    `#### ${group.title}`,
    [`In ${group.unit}; ${group.better} is better.`, ...group.notes].join(" "),
    groupTable(group),
    detailsTable(group),
    `![${group.title}](benchmarks/${plotName(suite, group)})`,
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

function machineText(documents: readonly Document[]): string {
  return documents.map(({ suite, date, quick, machine, versions }) => {
    const { processor, processors, memoryGiB, kernel } = machine;
    const peers = Object.entries(versions).map(([name, version]) => `${name} ${version}`).join(", ");
    const shortly = quick ? ", measured shortly (`--quick`): expect noise" : "";
    return `- ${
      SUITES[suite] ?? suite
    }: ${date}, ${processor}, ${processors} processors, ${memoryGiB} GiB, ${kernel}${shortly}. ${peers}.`;
  }).join("\n");
}

function skippedText(documents: readonly Document[]): string {
  const lines = documents.flatMap(({ suite, skipped }) =>
    skipped.map(({ what, why }) => `- ${SUITES[suite] ?? suite}: ${what}. ${why}`)
  );
  return lines.length === 0 ? "" : `## Not measured\n\n${lines.join("\n")}`;
}

function lossText(documents: readonly Document[]): string {
  const all = losses(documents);
  const lines = (wanted: boolean) =>
    all.filter((loss) => IN_PROCESS.has(loss.theirs.contender) === wanted).map((loss) => [
      `${SUITES[loss.suite] ?? loss.suite}: ${loss.group.title}`,
      loss.case,
      `${digits(loss.ours.value)} ${loss.group.unit} (${loss.ours.contender})`,
      `${digits(loss.theirs.value)} ${loss.group.unit} (${loss.theirs.contender})`,
      `${loss.times.toFixed(2)} x`,
    ]);
  const head = ["what", "case", "best of ours", "theirs", "behind by"];
  const tables = ([
    ["To what several processes can share:", lines(false)],
    ["To a table in a process's own memory, which no other process sees and no kill spares:", lines(true)],
  ] as const).map(([title, rows]) => `${title}\n\n${rows.length === 0 ? "Nowhere." : table(head, rows)}`);
  return ["Made from the figures: every case in which somebody is ahead by more than 5%, the worst first.", ...tables]
    .join("\n\n");
}

function targetText(figures: Figures): string {
  const reasons = new Map<string, string[]>();
  const rows = TARGETS.map(({ what, bound, limit, of, measured, because }) => {
    const ratio = measured(figures);
    const held = bound === "most" ? ratio <= limit : ratio >= limit;
    const verdict = Number.isNaN(ratio) ? "not measured" : held ? "held" : "**missed**";
    if (ratio && !held && because) reasons.set(because, [...reasons.get(because) ?? [], what]);
    return [what, `at ${bound} ${limit} x ${of}`, Number.isNaN(ratio) ? "–" : `${ratio.toFixed(2)} x`, verdict];
  });
  const parts = [table(["what", "target", "measured", ""], rows)];
  if (reasons.size > 0) parts.push("What is in the way of those that were missed:");
  const lines = Array.from(reasons, ([because, missed]) => `- ${missed.join("; ")}. ${because}`);
  return [...parts, lines.join("\n")].filter((part) => part !== "").join("\n\n");
}

/** The whole report. */
export function report(documents: readonly Document[]): string {
  const sections = SECTIONS.map((section) => {
    const suites = documents.map(({ suite, groups }) => {
      const texts = groups
        .filter((group) => group.section === section && group.results.length > 0)
        .map((group) => groupText(suite, group));
      return texts.length === 0 ? "" : [`### ${HEADINGS[section]}: ${SUITES[suite] ?? suite}`, ...texts].join("\n\n");
    }).filter((text) => text !== "");
    return suites.length === 0 ? "" : [`## ${HEADINGS[section]}`, ...suites].join("\n\n");
  });
  const parts = [
    "# Benchmarks",
    "Splinter beside what could be used instead, on the same work, in one run. `scripts/bench` measures all of it and writes this file.",
    machineText(documents),
    "## Method",
    METHOD,
    ...sections,
    skippedText(documents),
    "## Where we lose",
    lossText(documents),
    "## Targets",
    "Ratios of figures above: goals to beat, which no test asserts.",
    targetText(new Figures(documents)),
  ];
  return parts.filter((part) => part !== "").join("\n\n") + "\n";
}

/** Figures as they are worth keeping: four digits. */
function rounded(documents: readonly Document[]): string {
  const short = (_: string, value: unknown) => typeof value === "number" ? Number(value.toPrecision(4)) : value;
  return JSON.stringify(documents, short, 2) + "\n";
}

function write(directory: string, measured: readonly Document[]): void {
  // Of the figures that are kept, so that it can be written again from them.
  const documents: Document[] = JSON.parse(rounded(measured));
  const plots = join(directory, "benchmarks");
  rmSync(plots, { recursive: true, force: true });
  mkdirSync(plots, { recursive: true });
  for (const { suite, groups } of documents) {
    for (const group of groups) {
      if (group.results.length > 0) writeFileSync(join(plots, plotName(suite, group)), plot(group));
    }
  }
  writeFileSync(join(directory, "benchmarks.md"), report(documents));
  writeFileSync(join(directory, "benchmarks.json"), rounded(documents));
}

function check(old: readonly Document[], documents: readonly Document[]): boolean {
  const { compared, worse } = regressions(new Figures(old), new Figures(documents));
  for (const { suite, group, now, before, times } of worse) {
    const ratios = `${digits(before)} -> ${digits(now.ratio!)} x ${group.scale}`;
    console.log(`${suite}: ${group.title}: ${now.contender}: ${now.case}: ${ratios}, ${times.toFixed(2)} times worse`);
  }
  console.log(`${compared} ratios compared, ${worse.length} worse by more than 25%`);
  if (compared === 0) throw new Error("There is nothing to compare");
  return worse.length === 0;
}

function main([command, ...paths]: string[]): void {
  if (command === "write") {
    const [directory, ...files] = paths;
    write(directory, files.flatMap(read));
  } else if (command === "join") {
    console.log(rounded(paths.flatMap(read)).trimEnd());
  } else if (command === "check") {
    const [old, ...files] = paths;
    if (!check(read(old), files.flatMap(read))) process.exitCode = 1;
  } else {
    throw new Error("usage: report.ts write DIRECTORY FILE... | join FILE... | check OLD FILE...");
  }
}

main(process.argv.slice(2));
