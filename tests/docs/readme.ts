/** The tables of the README, which tests compare with the data that is true. */

import { join } from "node:path";
import { assert } from "@std/assert";

/** Its folder. */
export const ROOT = join(import.meta.dirname!, "..", "..");
const README = await Deno.readTextFile(join(ROOT, "README.md"));

/** A row of its table of brokers. */
export interface Row {
  readonly schemes: string[];
  readonly cells: Record<string, string>;
}

/** The table of brokers. */
export const ROWS: readonly Row[] = rowsOf(README, "| URL ");
/** The table of the metadata of a message. */
export const METADATA: readonly Row[] = rowsOf(README, "| backend ");

/** The table of factories. */
export const FACTORIES: readonly Row[] = rowsOf(README, "| factory ");

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
