/**
 * The record of a run: what each contender brought, round by round, so that two runs can be compared.
 *
 * @module
 */

import { digits, shown } from "../report.ts";
import { ratio, type Spread, spread } from "../rounds.ts";
import type { Contender, Row } from "./rows.ts";

/** What one row brought. */
export interface Result extends Pick<Row, "name" | "title" | "unit"> {
  /** Whether the smaller figure is the better one. */
  readonly fewer: boolean;
  /** Each contender's figures, round by round; ours come first. */
  readonly contenders: readonly (Contender & { readonly rounds: readonly number[] })[];
}

/** What one run brought. */
export interface Record {
  /** When it began. */
  readonly date: string;
  /** Where it ran: the machine, the runtimes, the peers. */
  readonly surroundings: readonly string[];
  /** What was raced. */
  readonly results: readonly Result[];
}

/** One row as a table: its head, and a line for each contender. */
export function tableOf({ contenders }: Result): string[][] {
  const ours = contenders[0]!;
  return [
    ["", "median (least–most)", `${ours.name} / it`],
    ...contenders.map((contender) => [
      contender.name,
      shown(spread(contender.rounds)),
      contender === ours ? "" : shown(ratio(ours.rounds, contender.rounds)),
    ]),
  ];
}

/** All rows as a table: ours, the best of the peers, and what has nothing around it. */
export function summaryOf(results: readonly Result[]): string[][] {
  return [
    ["", "ours", "unit", "best peer", "", "ours / peer", "bare", "", "ours / bare"],
    ...results.map((result) => {
      const ours = result.contenders[0]!.rounds;
      return [
        result.name,
        digits(spread(ours).median),
        result.unit,
        ...versus(ours, best(result, "peer")),
        ...versus(ours, best(result, "bare")),
      ];
    }),
  ];
}

/** What became of each contender from one run to another. */
export function comparisonOf(before: Record, after: Record): string[][] {
  const rows = [["", "", "before", "after", "after / before", ""]];
  for (const result of after.results) {
    const earlier = before.results.find(({ name }) => name === result.name);
    for (const { name, kind, rounds } of result.contenders) {
      const was = earlier?.contenders.find((contender) => contender.name === name);
      if (!was) continue;
      const [old, now] = [spread(was.rounds), spread(rounds)];
      rows.push([
        result.name,
        name,
        shown(old),
        shown(now),
        `${digits(now.median / old.median)}×`,
        change(old, now, result.fewer, kind),
      ]);
    }
  }
  return rows;
}

/** How many of our rows are worse by more than their spread. */
export function worse(before: Record, after: Record): number {
  return comparisonOf(before, after).filter((row) => row.at(-1)!.startsWith("SLOWER")).length;
}

/** A record that was saved. */
export async function load(path: string): Promise<Record> {
  try {
    return JSON.parse(await Deno.readTextFile(path)) as Record;
  } catch (error) {
    throw new Error(`Cannot compare with ${path}: it cannot be read`, { cause: error });
  }
}

function best({ contenders, fewer }: Result, kind: Contender["kind"]) {
  const those = contenders.filter((contender) => contender.kind === kind);
  return those.toSorted((a, b) => {
    const more = spread(b.rounds).median - spread(a.rounds).median;
    return fewer ? -more : more;
  })[0];
}

function versus(ours: readonly number[], other: ReturnType<typeof best>): string[] {
  if (!other) return ["–", "", ""];
  return [other.name, digits(spread(other.rounds).median), shown(ratio(ours, other.rounds))];
}

/** Said only where each median lies outside of the other run's spread, and by more than a hundredth. */
function change(old: Spread, now: Spread, fewer: boolean, kind: Contender["kind"]): string {
  if (Math.abs(now.median - old.median) <= Math.abs(old.median) / 100) return "";
  const lower = now.median < old.least && old.median > now.most;
  const higher = now.median > old.most && old.median < now.least;
  if (!lower && !higher) return "";
  // A peer did not change: it was the machine, and what it did to the peer it did to us.
  if (kind === "peer" || kind === "bare") return "the machine differs";
  const word = (fewer ? higher : lower) ? "SLOWER" : "better";
  return `${word} by more than its spread`;
}
