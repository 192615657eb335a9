/**
 * The page of the bench, `docs/benchmarks.md`, with its charts: made of the record of the rows, which
 * is kept beside the charts.
 *
 * @module
 */

import { join } from "node:path";
import { shown } from "../report.ts";
import { ratio, spread } from "../rounds.ts";
import {
  bars,
  chart,
  curves,
  outcomes,
  type Palette,
  PALETTES,
  ratios,
  type Spec,
} from "./chart.ts";
import { draw } from "./drawing.ts";
import {
  growthOf,
  load,
  measuresOf,
  merged,
  type Record,
  type Result,
  save,
  summaryOf,
} from "./record.ts";
import { FURTHER_ROWS, type Row, ROWS } from "./rows.ts";

/** A part of the page. */
interface Section {
  /** Also the name of its chart, in lower case. */
  readonly title: string;
  /** What to know about it. */
  readonly about: string;
  /** The names of its rows. */
  readonly rows: RegExp;
  /** What is drawn of them. */
  readonly panels: (rows: readonly Brought[], palette: Palette) => Spec[];
}

/** A row, and what it brought. */
interface Brought {
  readonly row: Row;
  readonly results: readonly Result[];
}

const LEVEL =
  "Both scales are logarithmic. Figures are per subscription or per delivery, so a level line " +
  "means proportional growth.";

const SECTIONS: readonly Section[] = [
  {
    title: "In one process",
    about: "Publishers and `for await` loops in one process. `memory://` has a log and ids by " +
      "default; none of the others has.",
    rows: /^memory-(single|burst)-\d+$/,
    panels: readerCurves,
  },
  {
    title: "Event streams",
    about:
      "A server in one process, and 1,000 connections in another. The bare servers write one " +
      "prepared frame to every response.",
    rows: /^sse-/,
    panels: allBars,
  },
  {
    title: "WebSockets",
    about: "A server in one process, and 1,000 sockets in another.",
    rows: /^websocket-/,
    panels: allBars,
  },
  {
    title: "Redis",
    about:
      "One connection publishes, and one subscribes. A publish is in flight until it is answered.",
    rows: /^redis-/,
    panels: allBars,
  },
  {
    title: "Postgres and NATS",
    about: "One message in flight: each publish waits until the broker has answered.",
    rows: /^(postgres|nats)-/,
    panels: allBars,
  },
  {
    title: "Memory and start",
    about:
      "The memory of each of 10,000 subscriptions in one process, and the time in which a program " +
      "imports the library and receives its first message, compared with an empty program.",
    rows: /^(memory-per|start)/,
    panels: allBars,
  },
  {
    title: "When the link is cut",
    about:
      "The subscriber's link to Redis is cut ten times, for 150 ms each. The publisher's link is not " +
      "cut, and 500 messages a second are published. All contenders run at the same time, through " +
      "the same proxy, each as its documentation recommends: oRPC subscribes again after an error, " +
      "with the last id where it can resume. A missing message counts as reported if the subscriber " +
      "received a gap or an error between the messages around it.",
    rows: /^cuts$/,
    panels: (brought, palette) =>
      brought.map(({ row, results }) => outcomes(results, row.title, palette)),
  },
  {
    title: "More channels",
    about: `Channels with one subscriber each, which waits for the next event. ${LEVEL}`,
    rows: /^growth-channels/,
    panels: growthCurves,
  },
  {
    title: "More subscribers",
    about: `All of them are subscribers of one channel. ${LEVEL}`,
    rows: /^growth-subscribers/,
    panels: growthCurves,
  },
  {
    title: "Larger messages",
    about: "One channel with one subscriber, and messages of 16 bytes to 1 MiB.",
    rows: /^growth-payload/,
    panels: growthCurves,
  },
  {
    title: "Other runtimes",
    about: "What `--full` adds: the newest Node, Deno and Bun.",
    rows: /^memory-(newest-node|deno|bun)-/,
    panels: readerCurves,
  },
];

const COMMAND = "deno task bench:peers";

/** The page in a folder of documents. */
export class Page {
  readonly #folder: string;

  /** @param folder Where the page is. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Keeps what some rows brought, and what other rows brought before. */
  async keep(record: Record): Promise<void> {
    await Deno.mkdir(this.#charts, { recursive: true });
    await save(this.#record, merged(await this.#kept(), record));
  }

  /** Draws the charts, and writes the page around them. */
  async draw(): Promise<void> {
    const record = await load(this.#record);
    await Deno.mkdir(this.#charts, { recursive: true });
    for await (const { name } of Deno.readDir(this.#charts)) {
      if (name.endsWith(".svg")) await Deno.remove(join(this.#charts, name));
    }
    for (const [theme, palette] of Object.entries(PALETTES)) {
      for (const { name, alt, spec } of chartsOf(record, palette)) {
        await Deno.writeTextFile(join(this.#charts, `${name}-${theme}.svg`), await draw(spec, alt));
      }
    }
    const path = join(this.#folder, "benchmarks.md");
    await Deno.writeTextFile(path, textOf(record));
    await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", path] }).output();
  }

  async #kept(): Promise<Record> {
    const isThere = await Deno.stat(this.#record).then(() => true, () => false);
    return isThere ? await load(this.#record) : { runs: [], results: [] };
  }

  get #charts(): string {
    return join(this.#folder, "benchmarks");
  }

  get #record(): string {
    return join(this.#charts, "results.json");
  }
}

/** All charts of a record: the summary first. */
export function chartsOf(record: Record, palette: Palette) {
  const summary = headline(record);
  const all = [
    ...summary.length > 0
      ? [{
        name: "summary",
        alt: `How ours compares: ${summary.map(sayRatio).join("; ")}`,
        spec: chart([ratios(summary, titleOf, palette)], palette),
      }]
      : [],
  ];
  for (const section of SECTIONS) {
    const brought = broughtOf(record, section);
    if (brought.length === 0) continue;
    all.push({
      name: fileOf(section),
      alt: `${section.title}: ${brought.map(({ row }) => titleOf(row)).join("; ")}`,
      spec: chart(section.panels(brought, palette), palette),
    });
  }
  return all;
}

/** The page as Markdown. */
export function textOf(record: Record): string {
  const summary = headline(record);
  const [, ...lines] = summaryOf(summary);
  return [
    "# Benchmarks",
    `\`${COMMAND}\` writes this page and its charts. Broadcaster is measured next to libraries with ` +
    "the same purpose, and next to the bare client or platform, without a library around it.",
    "A figure is the median of all rounds of a run, followed by its minimum and maximum. In each " +
    "round, the contenders run one after the other, in random order, each in its own process and " +
    "after a warm-up. A ratio is the median of the ratios of the rounds, so it compares results of " +
    "the same machine and the same minute. Between machines, compare ratios, not figures.",
    "## At a glance",
    summary.length > 0 ? picture("summary", "How ours compares with the best peer") : "",
    details(
      "The same as a table",
      tableText([
        ["", "ours", "", "best peer", "", "ours / peer", "bare", "", "ours / bare"],
        ...lines.map(([, ...rest], index) => [titleOf(summary[index]!), ...rest]),
      ]),
    ),
    ...SECTIONS.flatMap((section) => {
      const brought = broughtOf(record, section);
      if (brought.length === 0) return [];
      return [
        `## ${section.title}`,
        section.about,
        picture(fileOf(section), section.title),
        details("Figures", brought.map(figuresOf).join("\n\n")),
      ];
    }),
    "## Runs",
    `Run \`${COMMAND}\` to measure the whole page, or \`${COMMAND} row …\` to replace some rows, by the ` +
    "names in the tables. `deno task bench` compares each broker with its bare client, and the " +
    "fan-out with the platform's `tee()`.",
    tableText([
      ["date", "commit", "machine", "platforms", "rounds", "rows"],
      ...record.runs.map(({ date, commit, machine, platforms, rounds }) => [
        `${date.slice(0, 16).replace("T", " ")} UTC`,
        commit,
        machine,
        platforms.join(", "),
        `${rounds}`,
        [...new Set(record.results.filter((one) => one.date === date).map(({ row }) => row))]
          .map((name) => `\`${name}\``).join(" "),
      ]),
    ]),
    `Peers: ${[...new Set(record.runs.flatMap(({ peers }) => peers))].sort().join(", ")}.`,
  ].filter(Boolean).join("\n\n") + "\n";
}

/** The rows with one figure that the run has by default, in their order. */
function headline({ results }: Record): Result[] {
  return ROWS.flatMap(({ name }) => results.filter(({ id }) => id === name))
    .filter(({ contenders }) => contenders.some(({ kind }) => kind === "peer" || kind === "bare"));
}

function broughtOf({ results }: Record, { rows }: Section): Brought[] {
  return [...ROWS, ...FURTHER_ROWS].filter(({ name }) => rows.test(name))
    .map((row) => ({ row, results: results.filter((result) => result.row === row.name) }))
    .filter(({ results }) => results.length > 0);
}

function allBars(brought: readonly Brought[], palette: Palette): Spec[] {
  return brought.map(({ row, results: [result] }) => bars(result!, titleOf(row), palette));
}

/** Rows that differ in their readers are one panel: their number is what grows. */
function readerCurves(brought: readonly Brought[], palette: Palette): Spec[] {
  const groups = Object.groupBy(brought, ({ row }) => row.name.replace(/-\d+$/, ""));
  return Object.values(groups).map((rows) => {
    const results = rows!.map(({ row, results: [result] }) => ({
      ...result!,
      count: Number(row.options.readers),
    }));
    const title = titleOf(rows![0]!.row).replace(/,[^,]* readers?,/, ",");
    return curves(results, { title, of: "readers" }, palette);
  });
}

function growthCurves(brought: readonly Brought[], palette: Palette): Spec[] {
  return brought.flatMap(({ row, results }) =>
    row.measures.flatMap(({ name }) => {
      const those = results.filter((result) => result.name === name);
      if (those.length === 0) return [];
      return [curves(those, { title: those[0]!.title, of: row.growth!.of }, palette)];
    })
  );
}

function figuresOf({ row, results }: Brought): string {
  const head = `\`${row.name}\`: ${titleOf(row)}`;
  if (row.growth) {
    return row.measures.flatMap(({ name, title, unit }) => {
      const those = results.filter((result) => result.name === name);
      if (those.length === 0) return [];
      const [[, ...names], ...lines] = growthOf(those) as [string[], ...string[][]];
      return [
        `${head}, ${title!.toLowerCase()}, ${unit}`,
        tableText([[row.growth!.of, ...names], ...lines]),
      ];
    }).join("\n\n");
  }
  if (row.measures.length > 1) return `${head}\n\n${tableText(measuresOf(row, results))}`;
  const [{ contenders, unit }] = results as [Result];
  const ours = contenders[0]!;
  const table = tableText([
    ["", unit, `${ours.name} / it`],
    ...contenders.map((contender) => [
      contender.name + (contender.kind === "bare" ? " (bare)" : ""),
      shown(spread(contender.rounds)),
      contender === ours ? "" : shown(ratio(ours.rounds, contender.rounds)),
    ]),
  ]);
  return `${head}\n\n${table}`;
}

/** Where it is not the Node of the machine, the title says so. */
function titleOf(named: { readonly row?: string; readonly name?: string }): string {
  const name = named.row ?? named.name;
  const { where, title } = [...ROWS, ...FURTHER_ROWS].find((row) => row.name === name)!;
  return where === "node" ? title : `${title}, on ${where.replace(/^[a-z]/, upper)}`;
}

function sayRatio(result: Result): string {
  const [, [, figure = "", unit = "", peer, , times = "–"] = []] = summaryOf([result]);
  return `${titleOf(result)}: ${figure} ${unit}${peer === "–" ? "" : `, ${times} of ${peer}`}`;
}

function fileOf({ title }: Section): string {
  return title.toLowerCase().replaceAll(" ", "-");
}

function upper(letter: string): string {
  return letter.toUpperCase();
}

function picture(name: string, alt: string): string {
  return [
    "<picture>",
    `  <source media="(prefers-color-scheme: dark)" srcset="./benchmarks/${name}-dark.svg">`,
    `  <img alt="${alt}" src="./benchmarks/${name}-light.svg">`,
    "</picture>",
  ].join("\n");
}

function details(summary: string, text: string): string {
  return `<details>\n<summary>${summary}</summary>\n\n${text}\n\n</details>`;
}

/** A table of Markdown. */
function tableText([head, ...lines]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head!), line(head!.map(() => "---")), ...lines.map(line)].join("\n");
}
