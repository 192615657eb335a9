/**
 * The library beside its peers, in one run:
 * `deno task bench:peers [row …] [--rounds N] [--full] [--before FOLDER] [--json FILE] [--compare FILE]`.
 * Each contender is a process of its own, which stays warm; in each round each has its turn, in an
 * order that is drawn anew. `--full` adds the newest Node, Deno and Bun; `--before` races the library of another
 * folder, too; `--json` keeps the figures, and `--compare` says what became of those of another run.
 * No target is asserted: it fails if a race breaks.
 */

import { parseArgs } from "node:util";
import { print } from "../report.ts";
import { Bench } from "./bench.ts";
import { comparisonOf, load, type Record, worse } from "./record.ts";
import { FURTHER_ROWS, ROWS } from "./rows.ts";
import { show } from "./screen.ts";

if (import.meta.main) Deno.exit(await main());

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    args: Deno.args,
    allowPositionals: true,
    options: {
      rounds: { type: "string", default: "5" },
      full: { type: "boolean", default: false },
      before: { type: "string" },
      json: { type: "string" },
      compare: { type: "string" },
    },
  });
  const count = Number(values.rounds);
  if (!(Number.isInteger(count) && count > 0)) return refuse(`--rounds ${values.rounds}: no count`);
  const known = [...ROWS, ...FURTHER_ROWS];
  const unknown = positionals.filter((name) => !known.some((row) => row.name === name));
  if (unknown.length > 0) {
    const names = known.map(({ name }) => name).join(" ");
    return refuse(`${unknown.join(", ")}: no row of this name\nThe rows: ${names}`);
  }
  const rows = positionals.length > 0
    ? known.filter(({ name }) => positionals.includes(name))
    : values.full
    ? known
    : ROWS;
  const before = values.compare ? await load(values.compare) : undefined;
  const bench = await Bench.prepare(rows, count, values.before);
  try {
    const record = await bench.run();
    if (values.json) await Deno.writeTextFile(values.json, JSON.stringify(record, undefined, 1));
    if (before) compare(before, record);
    return bench.broken.length > 0 ? 1 : 0;
  } finally {
    await bench[Symbol.asyncDispose]();
  }
}

function compare(before: Record, after: Record): void {
  show(`Since the run of ${before.date}: median (least–most)`, comparisonOf(before, after));
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
