/**
 * The pages of the documentation, as programs.
 *
 * - `ts` and `rust`: the blocks of a page in one language are one program, from its top to its end. In TypeScript
 *   `console.log(x); // value` says what it prints.
 * - `console`: what is typed, behind "$ ", and what is shown then. All of a page is one session. "…" stands for what is
 *   different each time: the rest of a line, or, alone in a line, any lines.
 * - `file=NAME` behind the language: the block is a file in the directory of the session, whose commands use it.
 * - `not-run="WHY"` behind the language: nothing of the kind.
 * - `text`, `json`, `toml`, `ini`, `yaml`: for people.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** This repository. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What is code, and what is for people only. */
const CODE = ["ts", "rust", "c", "python", "console"];
const PROSE = ["text", "json", "toml", "ini", "yaml"];

export interface Block {
  language: string;
  /** Where it begins. */
  line: number;
  text: string;
  /** The name of the file that it is. */
  file?: string;
  /** Why it is not run. */
  notRun?: string;
}

/** What is typed, and what is to be shown then. */
export interface Command {
  line: number;
  typed: string;
  shown: string;
}

export class Page {
  readonly name: string;
  readonly text: string;
  readonly blocks: Block[];

  constructor(name: string) {
    this.name = name;
    this.text = readFileSync(ROOT + name, "utf8");
    this.blocks = [...blocksOf(name, this.text)];
  }

  /** The blocks in a language that are run. */
  in(language: string): Block[] {
    return this.blocks.filter((block) => block.language === language && block.notRun === undefined);
  }

  /** The blocks in a language that are no files. */
  program(language: string): Block[] {
    return this.in(language).filter(({ file }) => file === undefined);
  }

  /** What is typed on the page. */
  commands(): Command[] {
    return this.in("console").flatMap((block) => [...commandsOf(this.name, block)]);
  }

  /** Where its links lead to, within this repository. */
  links(): string[] {
    const targets = [...this.text.replaceAll(/^```[^]*?^```/gm, "").matchAll(/\]\(([^)\s]+)\)/g)].map(([, to]) => to);
    return targets.filter((to) => !/^[a-z]+:/.test(to));
  }
}

/** All pages. */
export function pages(): Page[] {
  const inDocs = readdirSync(`${ROOT}docs`).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`);
  return ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", ...inDocs.sort()].map((name) =>
    new Page(name)
  );
}

function* blocksOf(page: string, text: string): Generator<Block> {
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const fence = /^ *```(.*)$/.exec(lines[at]);
    if (!fence) continue;
    const line = at + 1;
    const end = lines.findIndex((line, i) => i > at && /^ *```$/.test(line));
    assert.notEqual(end, -1, `${page}:${line}: the block does not end`);
    const info = /^(\w+)( file=(\S+))?( not-run="([^"]+)")?$/.exec(fence[1]);
    assert.ok(info, `${page}:${line}: what kind of block is "${fence[1]}"?`);
    const [, language, , file, , notRun] = info;
    assert.ok([...CODE, ...PROSE].includes(language), `${page}:${line}: nobody runs "${language}"`);
    yield { language, line, text: lines.slice(at + 1, end).join("\n") + "\n", file, notRun };
    at = end;
  }
}

function* commandsOf(page: string, block: Block): Generator<Command> {
  let command: Command | undefined;
  for (const [at, line] of block.text.trimEnd().split("\n").entries()) {
    if (line.startsWith("$ ")) {
      if (command) yield command;
      command = { line: block.line + 1 + at, typed: line.slice(2), shown: "" };
    } else if (command && command.shown === "" && line.startsWith("> ")) {
      command.typed += `\n${line.slice(2)}`;
    } else {
      assert.ok(command, `${page}:${block.line}: a transcript begins with "$ "`);
      command.shown += `${line}\n`;
    }
  }
  if (command) yield command;
}

/** Whether something is what a transcript shows. */
export function isShown(found: string, shown: string): boolean {
  const escaped = (text: string) => text.trimEnd().replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("…", ".*");
  const lines = shown.trimEnd().split("\n").map((line) => line === "…" ? "[^]*" : escaped(line));
  const ends = found.split("\n").map((line) => line.trimEnd()).join("\n").trimEnd();
  return new RegExp(`^${lines.join("\n")}$`).test(ends);
}

/** A program that fails where it does not print what its comments say. */
export function checked(page: string, blocks: Block[]): string {
  const value = /^( *)console\.log\((.*)\); \/\/ (["[{\d-].*|null|true|false|undefined|Infinity)$/;
  const body = blocks.map(({ line, text }) => {
    const lines = text.split("\n").map((line) => line.replace(value, "$1same($2, $3);"));
    return `// ${page}:${line}\n${lines.join("\n")}`;
  });
  return `import { deepStrictEqual as same } from "node:assert/strict";\n\n${body.join("\n")}`;
}
