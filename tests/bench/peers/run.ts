/**
 * The library beside its peers, in one run:
 * `deno task bench:peers [row …] [--rounds N] [--full] [--page FOLDER] [--draw] [--before FOLDER] [--json FILE] [--compare FILE]`.
 *
 * Each contender is a process of its own, which stays warm; in each round each has its turn, in an
 * order that is drawn anew. `redis` stands for all rows that begin with it.
 * `--full` adds growth, the newest Node, Deno and Bun; `--before` races the library of another
 * folder, too; `--json` keeps the figures of this run, and `--compare` says what
 * became of those of another one.
 *
 * The rows that were raced take their place in `docs/benchmarks.md`; all others stay as they were.
 * A run of fewer than five rounds, or with `--before`, leaves the page as it is, unless `--page` says
 * where to write. `--draw` races nothing, and draws the page of the figures that are kept.
 *
 * No target is asserted: it fails if a race breaks.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { PROJECT } from "../../runtimes/tarball.ts";
import { print } from "../report.ts";
import { Bench } from "./bench.ts";
import { Page } from "./page.ts";
import { comparisonOf, load, type Record, save, worse } from "./record.ts";
import { FURTHER_ROWS, type Row, ROWS } from "./rows.ts";
import { show } from "./screen.ts";

/** Fewer rounds than these are for those who look on, and not for the page. */
const ROUNDS = 5;
const DOCS = join(PROJECT, "docs");

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: `${ROUNDS}` },
      full: { type: "boolean", default: false },
      page: { type: "string" },
      draw: { type: "boolean", default: false },
      before: { type: "string" },
      json: { type: "string" },
      compare: { type: "string" },
    },
  });
  const count = Number(values.rounds);
  if (!(Number.isInteger(count) && count > 0)) return refuse(`--rounds ${values.rounds}: no count`);
  const known = [...ROWS, ...FURTHER_ROWS];
  const isNamed = (row: Row, name: string) => row.name === name || row.name.startsWith(`${name}-`);
  const unknown = positionals.filter((name) => !known.some((row) => isNamed(row, name)));
  if (unknown.length > 0) {
    const names = known.map(({ name }) => name).join(" ");
    return refuse(`${unknown.join(", ")}: no row of this name\nThe rows: ${names}`);
  }
  const rows = positionals.length > 0
    ? known.filter((row) => positionals.some((name) => isNamed(row, name)))
    : values.full
    ? known
    : ROWS;
  if (values.draw) {
    await new Page(values.page ?? DOCS).draw();
    return 0;
  }
  const isKept = count >= ROUNDS && values.before === undefined;
  const page = values.page || isKept ? new Page(values.page ?? DOCS) : undefined;
  const before = values.compare ? await load(values.compare) : undefined;
  const bench = await Bench.prepare(rows, count, values.before);
  try {
    const record = await bench.run(async (record) => await page?.keep(record));
    if (values.json) await save(values.json, record);
    await page?.draw();
    if (before) compare(before, record);
    return bench.broken.length > 0 ? 1 : 0;
  } finally {
    await bench[Symbol.asyncDispose]();
  }
}

function compare(before: Record, after: Record): void {
  const dates = before.runs.map(({ date }) => date.slice(0, 10)).join(", ");
  show(`Since ${dates}: median (least–most)`, comparisonOf(before, after));
  const count = worse(before, after);
  print(
    count > 0
      ? `\nSlower by more than its spread: ${count} of ours`
      : "\nNone of ours is slower by more than its spread",
  );
}

function refuse(reason: string): number {
  print(`Cannot run the bench: ${reason}`);
  return 2;
}
