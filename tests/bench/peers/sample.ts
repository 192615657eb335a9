/**
 * A record that no run brought, of all rows there are: for tests of what is made of records.
 *
 * @module
 */

import { type Figures, ONLY, type Record, resultsOf, type Run } from "./record.ts";
import { FURTHER_ROWS, type Row, ROWS } from "./rows.ts";

/** A run that did not take place. */
export const RUN: Run = {
  date: "2026-01-02T03:04:05.000Z",
  commit: "abcdef0",
  machine: "2 cores, a processor, load 0.10",
  platforms: ["node 20.0.0", "redis 7.0.0"],
  peers: ["a-peer 1.2.3"],
  rounds: 3,
};

/** The record of some rows: the first contender brings 100 and a bit, the second half of it, and so on. */
export function sampleOf(rows: readonly Row[] = [...ROWS, ...FURTHER_ROWS], run = RUN): Record {
  const results = rows.flatMap((row) =>
    (row.growth?.counts ?? [undefined]).flatMap((count) => {
      const present = row.contenders.filter(({ most = Infinity }) => (count ?? 0) <= most);
      const figures = present.map((_, index) =>
        [0, 1, 2].map((round): Figures =>
          Object.fromEntries(
            row.measures.map(({ name = ONLY }) => [name, (100 + round) / (index + 1)]),
          )
        )
      );
      return resultsOf(row, run.date, present, figures, count);
    })
  );
  return { runs: [run], results };
}
