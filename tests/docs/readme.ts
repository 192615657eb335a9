/** The README, as tests hold it against what is true. */

import { join } from "node:path";
import { assert } from "@std/assert";

/** The folder that it lies in. */
export const ROOT = join(import.meta.dirname!, "..", "..");
/** Its text. */
export const README: string = await Deno.readTextFile(join(ROOT, "README.md"));

/** A row of its table of brokers. */
export interface Row {
  readonly schemes: string[];
  readonly cells: Record<string, string>;
}

/** The table of brokers. */
export const ROWS: readonly Row[] = rowsOf(README, "| URL ");
/** The table of what travels beside a message. */
export const BESIDES: readonly Row[] = rowsOf(README, "| backend ");

function rowsOf(text: string, start: string): Row[] {
  const table = text.slice(text.indexOf(start)).split("\n\n")[0]!.split("\n");
  const [head, , ...rows] = table.map((line) =>
    line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim())
  );
  assert(head && rows.length > 5);
  return rows.map((row) => ({
    schemes: [...row[0]!.matchAll(/`([\w-]+):\/\//g)].map(([, scheme]) => scheme!),
    cells: Object.fromEntries(head.map((name, index) => [name, row[index]!])),
  }));
}
