/**
 * The screen: tables, and how far the bench is.
 *
 * @module
 */

import { lines, print } from "../report.ts";
import { growthOf, measuresOf, type Result, tableOf } from "./record.ts";
import type { Row } from "./rows.ts";

/** Prints a table. */
export function show(title: string, rows: readonly (readonly string[])[]): void {
  for (const line of lines({ title, rows, verdicts: [] })) print(line);
}

/** Prints what a row brought. */
export function showRow(row: Row, results: readonly Result[]): void {
  const { name, title, where, growth, measures } = row;
  if (growth) {
    for (const { name: measure, title: what, unit } of measures) {
      const those = results.filter((result) => result.name === measure);
      show(`${name}: ${title}; ${what}, ${unit}, ${where}`, growthOf(those));
    }
  } else if (measures.length > 1) {
    show(`${name}: ${title}, ${where}`, measuresOf(row, results));
  } else {
    show(`${name}: ${title}; ${measures[0]!.unit}, ${where}`, tableOf(results[0]!));
  }
}

/** One line that is written over; without a terminal one for each round. */
export function progress(round: string, turn: string): void {
  const isNew = round !== lastRound;
  lastRound = round;
  if (Deno.stderr.isTerminal()) write(`\r\x1b[K${round}${turn && `, ${turn}`}`);
  else if (isNew && round) write(`${round}\n`);
}

let lastRound = "";

function write(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text));
}
