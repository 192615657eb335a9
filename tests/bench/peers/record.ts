/**
 * The record of runs: what each contender brought, round by round. The page is made of it, and two
 * records can be compared.
 *
 * @module
 */

import { digits, shown } from "../report.ts";
import { ratio, type Spread, spread } from "../rounds.ts";
import type { Contender, Measure, Row } from "./rows.ts";

/** One figure of one row, as each contender brought it. */
export interface Result extends Measure {
  /** The row's name, with that of the measure and the count, if it has them. */
  readonly id: string;
  /** The name of the row. */
  readonly row: string;
  /** What was raced. */
  readonly title: string;
  /** How many channels, subscribers or bytes there were, in a row that grows. */
  readonly count?: number;
  /** When its run began, by which the run is found. */
  readonly date: string;
  /** Each contender's figures, round by round; ours come first. */
  readonly contenders: readonly (Contender & { readonly rounds: readonly number[] })[];
}

/** When and where some rows were raced. */
export interface Run {
  /** When it began. */
  readonly date: string;
  /** The commit of the library. */
  readonly commit: string;
  /** The machine, and how busy it was. */
  readonly machine: string;
  /** The runtimes and brokers, with their versions. */
  readonly platforms: readonly string[];
  /** The peers, with their versions. */
  readonly peers: readonly string[];
  /** How many rounds count. */
  readonly rounds: number;
}

/** What runs brought. */
export interface Record {
  readonly runs: readonly Run[];
  readonly results: readonly Result[];
}

/** What a turn of a contender brings, by the names of measures. */
export type Figures = Readonly<globalThis.Record<string, number>>;

/** The name by which the only figure of a row goes. */
export const ONLY = "value";

/** What a row brought at one count: for each contender its figures, round by round. */
export function resultsOf(
  { name: row, title, measures }: Row,
  date: string,
  contenders: readonly Contender[],
  figures: readonly (readonly Figures[])[],
  count?: number,
): Result[] {
  return measures.map((measure): Result => ({
    id: [row, measure.name, count].filter((part) => part !== undefined).join("/"),
    row,
    ...measure,
    title: [title, measure.title?.toLowerCase()].filter(Boolean).join(", "),
    ...count !== undefined && { count },
    date,
    contenders: contenders.map((contender, index) => ({
      ...contender,
      rounds: figures[index]!.flatMap((figure) => rounded(figure[measure.name ?? ONLY]) ?? []),
    })).filter(({ rounds }) => rounds.length > 0),
  })).filter(({ contenders }) => contenders.length > 0);
}

/** What is kept after a run: rows that it raced are replaced, all others stay. */
export function merged(kept: Record, { runs, results }: Record): Record {
  const raced = new Set(results.map(({ row }) => row));
  const all = [...kept.results.filter(({ row }) => !raced.has(row)), ...results];
  const used = new Set(all.map(({ date }) => date));
  const known = new Map([...kept.runs, ...runs].map((run) => [run.date, run]));
  return { runs: [...known.values()].filter(({ date }) => used.has(date)), results: all };
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

/** One measure of a row that grows, as a table: a line for each count, a column for each contender. */
export function growthOf(results: readonly Result[]): string[][] {
  const names = namesOf(results);
  return [
    ["", ...names],
    ...results.map(({ count, contenders }) => [
      count!.toLocaleString("en"),
      ...names.map((name) => {
        const contender = contenders.find((one) => one.name === name);
        return contender ? shown(spread(contender.rounds)) : "";
      }),
    ]),
  ];
}

/** All who take part at any count, in their order. */
export function namesOf(results: readonly Result[]): string[] {
  const [{ contenders }] = results.toSorted((a, b) =>
    b.contenders.length - a.contenders.length
  ) as [Result];
  return contenders.map(({ name }) => name);
}

/** Several measures of a row, as a table: a line for each contender, a column for each measure. */
export function measuresOf({ measures }: Row, results: readonly Result[]): string[][] {
  return [
    ["", ...measures.map(({ title, unit }) => `${title}, ${unit}`)],
    ...results[0]!.contenders.map(({ name }, index) => [
      name,
      ...results.map(({ contenders }) => shown(spread(contenders[index]!.rounds))),
    ]),
  ];
}

/** All rows of one figure as a table: ours, the best of the peers, and what has nothing around it. */
export function summaryOf(results: readonly Result[]): string[][] {
  return [
    ["", "ours", "unit", "best peer", "", "ours / peer", "bare", "", "ours / bare"],
    ...results.filter(({ id, row }) => id === row).map((result) => {
      const ours = result.contenders[0]!.rounds;
      return [
        result.row,
        digits(spread(ours).median),
        result.unit,
        ...versus(ours, best(result, "peer")),
        ...versus(ours, best(result, "bare")),
      ];
    }),
  ];
}

/** The one of a kind that did best. */
export function best({ contenders, fewer }: Result, kind: Contender["kind"]) {
  const those = contenders.filter((contender) => contender.kind === kind);
  return those.toSorted((a, b) => {
    const more = spread(b.rounds).median - spread(a.rounds).median;
    return fewer ? -more : more;
  })[0];
}

/** What became of each contender from one run to another. */
export function comparisonOf(before: Record, after: Record): string[][] {
  const rows = [["", "", "before", "after", "after / before", ""]];
  for (const result of after.results) {
    const earlier = before.results.find(({ id }) => id === result.id);
    for (const { name, kind, rounds } of result.contenders) {
      const was = earlier?.contenders.find((contender) => contender.name === name);
      if (!was) continue;
      const [old, now] = [spread(was.rounds), spread(rounds)];
      rows.push([
        result.id,
        name,
        shown(old),
        shown(now),
        `${digits(now.median / old.median)}×`,
        change(old, now, result.fewer ?? false, kind),
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
    throw new Error(`Cannot read the record ${path}: it is missing, or no JSON`, { cause: error });
  }
}

/** Saves a record, with a line for each result: so a row that was raced again is what differs. */
export async function save(path: string, { runs, results }: Record): Promise<void> {
  const list = (items: readonly unknown[]) =>
    `[\n${items.map((item) => JSON.stringify(item)).join(",\n")}\n]`;
  await Deno.writeTextFile(path, `{"runs":${list(runs)},"results":${list(results)}}\n`);
}

/** More digits than these are noise. */
function rounded(figure: number | undefined): number | undefined {
  return figure === undefined ? undefined : Number(figure.toPrecision(4));
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
