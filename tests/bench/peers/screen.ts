/**
 * The screen: tables, and how far the bench is.
 *
 * @module
 */

import { lines, print } from "../report.ts";

/** Prints a table. */
export function show(title: string, rows: readonly (readonly string[])[]): void {
  for (const line of lines({ title, rows, verdicts: [] })) print(line);
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
