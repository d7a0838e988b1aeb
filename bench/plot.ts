/** Plots of groups as SVG: bars of one length unit for each case, on a scale of powers of ten. */
import type { Group, Result } from "./schema.ts";

const LABEL_PX = 230;
const BARS_PX = 420;
const VALUE_PX = 110;
const LINE_PX = 18;
const TITLE_PX = 26;
const CASE_PX = 24;
/** Seen on white and on black. */
const COLOURS: Record<Result["kind"], string> = { us: "#1f77d0", peer: "#e08214", floor: "#8c8c8c" };

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Four figures at most: `1,234`, `12.3`, `0.0123`. */
export function digits(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  return value === 0 ? "0" : Number(value.toPrecision(3)).toString();
}

/** Draws the cases of a group one below the other, each with a bar for every contender. */
export function plot(group: Group): string {
  const values = group.results.map((result) => result.value).filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const x = (value: number) => BARS_PX * (Math.log10(Math.max(value, 10 ** low)) - low) / (high - low);
  const parts: string[] = [];
  const text = (at: number, y: number, anchor: string, content: string, style = "") =>
    parts.push(
      `<text x="${at.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}"${style}>${escape(content)}</text>`,
    );
  const bold = ' font-weight="bold"';
  text(0, 16, "start", `${group.title} (${group.unit}, ${group.better} is better)`, bold);
  let y = TITLE_PX;
  for (const name of new Set(group.results.map((result) => result.case))) {
    text(0, y + 16, "start", name, ' font-style="italic"');
    y += CASE_PX;
    for (const { contender, kind, value } of group.results.filter((result) => result.case === name)) {
      const width = Math.max(x(value), 1);
      text(LABEL_PX - 6, y + 13, "end", contender, kind === "us" ? bold : "");
      parts.push(
        `<rect x="${LABEL_PX}" y="${y + 2}" width="${width.toFixed(1)}" height="${LINE_PX - 4}" fill="${
          COLOURS[kind]
        }"/>`,
      );
      text(LABEL_PX + width + 5, y + 13, "start", digits(value));
      y += LINE_PX;
    }
  }
  const axis: string[] = [];
  for (let power = low; power <= high; power++) {
    const at = (LABEL_PX + x(10 ** power)).toFixed(1);
    axis.push(`<line x1="${at}" y1="${TITLE_PX}" x2="${at}" y2="${y}" stroke="#8c8c8c" stroke-opacity="0.35"/>`);
    text(Number(at), y + 16, "middle", (10 ** power).toLocaleString("en-US", { maximumFractionDigits: 9 }));
  }
  const width = LABEL_PX + BARS_PX + VALUE_PX;
  const height = y + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`,
    `  font-family="sans-serif" font-size="12" fill="#808080">`,
    ...axis,
    ...parts,
    "</svg>\n",
  ].join("\n");
}
