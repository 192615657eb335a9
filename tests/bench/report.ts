/**
 * What a group of measurements says: a table, and verdicts on its targets.
 *
 * @module
 */

import process from "node:process";
import type { Spread } from "./rounds.ts";

/** A group of measurements. */
export interface Report {
  /** What was measured. */
  readonly title: string;
  /** The head of the table, and its rows. */
  readonly rows: readonly (readonly string[])[];
  /** What to know about the numbers. */
  readonly note?: string;
  /** What became of the targets. */
  readonly verdicts: readonly Verdict[];
}

/** What became of one target. */
export interface Verdict {
  /** What was promised. */
  readonly target: string;
  /** What was measured. */
  readonly measured: string;
  /** `close`: the median misses it, and the spread reaches it. */
  readonly outcome: "met" | "close" | "missed" | "skipped";
}

/** A target that some value be at least so large. */
export function atLeast(target: string, limit: number, measured: Spread, unit = "×"): Verdict {
  const outcome = measured.median >= limit ? "met" : measured.most >= limit ? "close" : "missed";
  return { target, measured: shown(measured, unit), outcome };
}

/** A target that some value be at most so large. */
export function atMost(target: string, limit: number, measured: Spread, unit = "×"): Verdict {
  const outcome = measured.median <= limit ? "met" : measured.least <= limit ? "close" : "missed";
  return { target, measured: shown(measured, unit), outcome };
}

/** A median, and how far the rounds lie apart. */
export function shown({ median, least, most }: Spread, unit = ""): string {
  return `${digits(median)}${unit} (${digits(least)}–${digits(most)})`;
}

/** A number with three significant digits, or all that stand before its point. */
export function digits(number: number): string {
  const size = Math.abs(number);
  if (size >= 10_000) return `${Math.round(number / 1000).toLocaleString("en")} k`;
  if (size >= 100) return number.toFixed(0);
  return number.toFixed(size >= 10 ? 1 : 2);
}

/** A report as lines of text: numbers stand to the right. */
export function* lines({ title, rows, note }: Report): Generator<string> {
  yield "";
  yield title;
  yield* table(rows);
  if (note) yield `  ${note}`;
}

/** The verdicts of all reports, as lines of text. */
export function* verdictLines(reports: readonly Report[]): Generator<string> {
  const rows = reports.flatMap(({ verdicts }) =>
    verdicts.map(({ outcome, target, measured }) => [outcome.toUpperCase(), measured, target])
  );
  yield "";
  yield "Targets: median (least–most of the rounds)";
  yield* table([["", "measured", "target"], ...rows]);
}

function* table(rows: readonly (readonly string[])[]): Generator<string> {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  for (const row of rows) {
    const cells = row.map((cell, column) =>
      /^-?[\d.,]+/.test(cell) ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)
    );
    yield `  ${cells.join("  ").trimEnd()}`;
  }
}

/** Writes a line to the standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
