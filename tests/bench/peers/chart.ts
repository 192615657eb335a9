/**
 * Charts of results, as specifications of Vega-Lite that read without a table: what is drawn is
 * named beside it, with its figure, its unit, and how ours compares.
 *
 * @module
 */

import { ratio, spread } from "../rounds.ts";
import { best, type Result } from "./record.ts";
import type { Contender } from "./rows.ts";

/** A specification of Vega-Lite. */
export type Spec = Readonly<Record<string, unknown>>;

/** The colours of a chart. */
export interface Palette {
  readonly text: string;
  readonly faint: string;
  readonly line: string;
  readonly ours: string;
  readonly variant: string;
  readonly peer: string;
  readonly bare: string;
  /** Of peers that are lines, one after the other. */
  readonly peers: readonly string[];
  readonly told: string;
  readonly lost: string;
}

/** The colours of each theme. */
export const PALETTES: Readonly<Record<"light" | "dark", Palette>> = {
  light: {
    text: "#1f2328",
    faint: "#59636e",
    line: "#d1d9e0",
    ours: "#0969da",
    variant: "#80b4ee",
    peer: "#8c959f",
    bare: "#c5ccd3",
    peers: ["#9a6700", "#1a7f37", "#8250df", "#bc4c00"],
    told: "#d4a72c",
    lost: "#cf222e",
  },
  dark: {
    text: "#f0f6fc",
    faint: "#9198a1",
    line: "#3d444d",
    ours: "#4493f8",
    variant: "#5a8fd0",
    peer: "#7d8590",
    bare: "#4b535d",
    peers: ["#d29922", "#3fb950", "#ab7df8", "#db6d28"],
    told: "#d29922",
    lost: "#f85149",
  },
};

/** How wide all charts are: narrow enough for a phone. */
export const WIDTH = 480;

const FONT = "-apple-system, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif";
/** Where bars begin and where the longest ends; names are before it, figures after. */
const BAR = [186, 340] as const;
/** Where lines begin and end; names are after them. */
const LINES = [34, 255] as const;
const PANEL = 150;
/** How far two lines of text lie apart at least. */
const LEADING = 14;

const IS_OURS = "datum.kind === 'ours'";

/** Texts that stand to the right of a place: ours is bold. */
function texts(encoding: Spec, dx = 0): Spec[] {
  return [[IS_OURS, 600], [`!(${IS_OURS})`, 400]].map(([filter, fontWeight]) => ({
    transform: [{ filter }],
    mark: { type: "text", align: "left", dx, fontWeight },
    encoding,
  }));
}

/** What all charts have in common. */
export function chart(panels: readonly Spec[], { text, faint, line }: Palette): Spec {
  return {
    $schema: "https://vega.github.io/schema/vega-lite/v6.json",
    vconcat: panels,
    spacing: 26,
    padding: { left: 0, right: 0, top: 2, bottom: 4 },
    config: {
      background: null,
      // The title says what is drawn; the figures are in the tables.
      aria: false,
      font: FONT,
      view: { stroke: null },
      text: { fontSize: 12, color: text, baseline: "middle" },
      title: {
        fontSize: 13,
        fontWeight: 600,
        color: text,
        subtitleFontSize: 12,
        subtitleColor: faint,
        anchor: "start",
        frame: "group",
        offset: 6,
      },
      axis: {
        labelFontSize: 11,
        labelColor: faint,
        titleFontSize: 11,
        titleFontWeight: 400,
        titleColor: faint,
        gridColor: line,
        domainColor: line,
        tickColor: line,
      },
      legend: { labelFontSize: 12, labelLimit: 0, labelColor: text, title: null, offset: 6 },
    },
  };
}

/** One result as bars: ours first, and behind each of the others how ours compares. */
export function bars(result: Result, title: string, palette: Palette): Spec {
  const ours = result.contenders[0]!;
  const values = result.contenders.map((contender) => {
    const { median, least, most } = spread(contender.rounds);
    const against = contender === ours ? "" : ` · ours ${times(ours, contender)}×`;
    return {
      name: nameOf(contender),
      kind: contender.kind,
      colour: palette[contender.kind],
      ...{ median, least, most },
      label: `${short(median)}${against}`,
    };
  });
  const x = {
    type: "quantitative",
    axis: null,
    scale: { domain: [0, Math.max(...values.map(({ most }) => most))], range: BAR },
  };
  const y = { field: "name", type: "nominal", sort: null, axis: null };
  return {
    title: { text: title, subtitle: `${result.unit}, ${better(result)}` },
    width: WIDTH,
    height: { step: 21 },
    data: { values },
    layer: [
      ...texts({ x: { value: 0 }, y, text: { field: "name" } }),
      {
        mark: { type: "bar", height: 12 },
        encoding: {
          x: { ...x, field: "median" },
          y,
          color: { field: "colour", type: "nominal", scale: null },
        },
      },
      {
        mark: { type: "rule", color: palette.text, opacity: 0.7 },
        encoding: { x: { ...x, field: "least" }, x2: { field: "most" }, y },
      },
      ...texts({ x: { ...x, field: "most" }, y, text: { field: "label" } }, 7),
    ],
  };
}

/** All rows of one figure: how ours does against the best peer, and against what is bare. */
export function ratios(
  results: readonly Result[],
  titleOf: (result: Result) => string,
  palette: Palette,
): Spec {
  const values = results.flatMap((result) =>
    (["peer", "bare"] as const).flatMap((kind) => {
      const other = best(result, kind);
      if (!other) return [];
      // More is better, whatever is counted.
      const [ours, theirs] = [result.contenders[0]!, other];
      const [above, below] = result.fewer ? [theirs, ours] : [ours, theirs];
      const { median, least, most } = ratio(above.rounds, below.rounds);
      const versus = `${digitsOf(median)}× ${nameOf(other)}`;
      return [{ title: titleOf(result), kind, one: 1, median, least, most, versus }];
    })
  );
  const titles = [...new Set(values.map(({ title }) => title))];
  const labels = titles.map((title) => ({
    title,
    label: values.filter((value) => value.title === title).map(({ versus }) => versus).join(", "),
  }));
  const domain = [
    Math.min(0.5, ...values.map(({ least }) => least)) * 0.9,
    Math.max(2, ...values.map(({ most }) => most)) * 1.1,
  ];
  const x = {
    type: "quantitative",
    scale: { type: "log", domain, range: [4, WIDTH - 4], nice: false },
    axis: {
      title: null,
      values: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100],
      labelExpr: "datum.value === 1 ? 'equal' : datum.value + '×'",
      domain: false,
      ticks: false,
      orient: "top",
    },
  };
  const y = { field: "title", type: "nominal", sort: titles, axis: null };
  const colour = {
    field: "kind",
    type: "nominal",
    legend: null,
    scale: { domain: ["peer", "bare"], range: [palette.ours, palette.faint] },
  };
  return {
    title: {
      text: "Ours beside the best peer (●) and the bare means (○)",
      subtitle: "How many times as good: further right is better; lines span the rounds",
    },
    width: WIDTH,
    height: { step: 48 },
    layer: [
      {
        data: { values },
        mark: { type: "rule", strokeWidth: 2.5, yOffset: 14 },
        encoding: { x: { ...x, field: "least" }, x2: { field: "most" }, y, color: colour },
      },
      {
        data: { values },
        mark: { type: "rule", opacity: 0.4, yOffset: 14 },
        encoding: { x: { ...x, field: "one" }, x2: { field: "median" }, y, color: colour },
      },
      {
        data: { values: [{ one: 1 }] },
        mark: { type: "rule", color: palette.faint, strokeDash: [3, 3] },
        encoding: { x: { ...x, field: "one" } },
      },
      {
        data: { values },
        mark: { type: "point", size: 60, strokeWidth: 2, opacity: 1, yOffset: 14 },
        encoding: {
          x: { ...x, field: "median" },
          y,
          color: colour,
          fill: {
            condition: { test: "datum.kind === 'peer'", value: palette.ours },
            value: "transparent",
          },
        },
      },
      {
        data: { values: labels },
        mark: { type: "text", align: "left", dy: -15 },
        encoding: { x: { value: 0 }, y, text: { field: "title" } },
      },
      {
        data: { values: labels },
        mark: { type: "text", align: "left", dy: 0, fontSize: 11, color: palette.faint },
        encoding: { x: { value: 0 }, y, text: { field: "label" } },
      },
    ],
  };
}

/** One measure over ever larger counts: a line for each contender, named where it ends. */
export function curves(
  results: readonly Result[],
  { title, of }: { title: string; of: string },
  palette: Palette,
): Spec {
  const [{ contenders }] = results.toSorted((a, b) =>
    b.contenders.length - a.contenders.length
  ) as [Result];
  const peers = contenders.filter(({ kind }) => kind === "peer").map(({ name }) => name);
  const colourOf = ({ name, kind }: Contender) =>
    ({
      ours: palette.ours,
      variant: palette.variant,
      bare: palette.faint,
      peer: palette.peers[peers.indexOf(name) % palette.peers.length]!,
    })[kind];
  const values = results.flatMap(({ count, contenders }) =>
    contenders.flatMap((contender) => {
      const { name, kind, rounds } = contender;
      const { median } = spread(rounds);
      // A logarithm has no zero.
      if (median <= 0) return [];
      return [{ name, kind, colour: colourOf(contender), count: count!, median }];
    })
  );
  const medians = values.map(({ median }) => median);
  const domain: [number, number] = [Math.min(...medians) / 1.3, Math.max(...medians) * 1.3];
  const last = results.at(-1)!.count!;
  const ends = apart(
    contenders.flatMap((contender) => {
      const at = values.findLast(({ name }) => name === contender.name);
      if (!at) return [];
      const until = at.count < last ? `, at ${at.count.toLocaleString("en")}` : "";
      return [{ ...at, count: last, label: `${nameOf(contender)} · ${short(at.median)}${until}` }];
    }),
    domain,
  );
  const x = {
    field: "count",
    type: "quantitative",
    scale: { type: "log", domain: [results[0]!.count!, last], range: LINES, nice: false },
    axis: {
      title: of,
      titleAnchor: "start",
      titleX: LINES[0],
      values: results.map(({ count }) => count!),
      labelExpr: "datum.value >= 1048576 ? datum.value / 1048576 + ' Mi' : " +
        "datum.value >= 1024 && datum.value % 1024 === 0 ? datum.value / 1024 + ' Ki' : " +
        "format(datum.value, ',')",
      labelOverlap: true,
      grid: false,
    },
  };
  const y = {
    field: "median",
    type: "quantitative",
    scale: { type: "log", domain, range: [PANEL, 0], nice: false },
    axis: {
      title: null,
      values: decades(domain),
      labelExpr: SHORT,
      domain: false,
      ticks: false,
      offset: -LINES[0],
      gridOpacity: 0.6,
    },
  };
  const color = { field: "colour", type: "nominal", scale: null };
  return {
    title: { text: title, subtitle: `${results[0]!.unit}, ${better(results[0]!)}` },
    width: WIDTH,
    height: PANEL,
    layer: [
      {
        data: { values },
        mark: { type: "line" },
        encoding: {
          x,
          y,
          color,
          detail: { field: "name", type: "nominal" },
          strokeWidth: { condition: { test: IS_OURS, value: 2.5 }, value: 1.5 },
          strokeDash: {
            condition: { test: "datum.kind === 'bare'", value: [4, 3] },
            value: [1, 0],
          },
        },
      },
      {
        data: { values },
        mark: { type: "point", filled: true, size: 22, opacity: 1 },
        encoding: { x, y, color },
      },
      ...texts({ x, y: { ...y, field: "place" }, color, text: { field: "label" } }, 8)
        .map((layer): Spec => ({ ...layer, data: { values: ends } })),
    ],
  };
}

/** What became of messages while a link was cut: parts of a whole for each contender. */
export function outcomes(results: readonly Result[], title: string, palette: Palette): Spec {
  const parts = ["delivered", "told", "silent"] as const;
  const names = {
    delivered: "delivered",
    told: "missing, reported",
    silent: "missing, not reported",
  };
  // Parts of a whole have to add up, which medians do not.
  const meanOf = (measure: string, index: number) => {
    const { rounds } = results.find(({ name }) => name === measure)!.contenders[index]!;
    return rounds.reduce((sum, figure) => sum + figure, 0) / rounds.length;
  };
  const contenders = results[0]!.contenders.map((contender, index) => ({
    name: contender.name,
    kind: contender.kind,
    label: [
      `${percent(meanOf("delivered", index))}`,
      meanOf("silent", index) > 0
        ? `${percent(meanOf("silent", index))} not reported`
        : meanOf("told", index) > 0
        ? `${Math.round(meanOf("gaps", index))} gaps reported`
        : "nothing missing",
    ].join(", "),
  }));
  const of = (layer: Spec): Spec => ({ ...layer, data: { values: contenders } });
  const values = contenders.flatMap(({ name }, index) =>
    parts.map((part, order) => ({ name, part: names[part], order, value: meanOf(part, index) }))
  );
  const end = 310;
  const range = [BAR[0], end];
  const x = { type: "quantitative", axis: null, scale: { domain: [0, 100], range } };
  const y = { field: "name", type: "nominal", sort: null, axis: null };
  return {
    title: { text: title, subtitle: "parts of what was published, in all rounds" },
    width: WIDTH,
    height: { step: 21 },
    layer: [
      ...texts({ x: { value: 0 }, y, text: { field: "name" } }).map(of),
      {
        data: { values },
        mark: { type: "bar", height: 12 },
        encoding: {
          x: { ...x, field: "value", stack: "zero" },
          y,
          order: { field: "order" },
          color: {
            field: "part",
            type: "nominal",
            scale: {
              domain: parts.map((part) => names[part]),
              range: [palette.ours, palette.told, palette.lost],
            },
            legend: { symbolType: "square", orient: "bottom", columnPadding: 18 },
          },
        },
      },
      ...texts({ x: { value: end }, y, text: { field: "label" } }, 7).map(of),
    ],
  };
}

/** A number as short as it can be read: 0.021, 9.5, 340, 34.1 k, 2.8 M. */
export function short(number: number): string {
  const [size, suffix] = number >= 1e6 ? [1e6, " M"] : number >= 1e4 ? [1e3, " k"] : [1, ""];
  const scaled = number / size;
  if (scaled >= 100) return `${Math.round(scaled).toLocaleString("en")}${suffix}`;
  return `${Number(scaled.toPrecision(scaled < 1 ? 2 : 3))}${suffix}`;
}

/** The same for a tick. */
const SHORT = "datum.value >= 1e6 ? datum.value / 1e6 + ' M' : " +
  "datum.value >= 1e3 ? datum.value / 1e3 + ' k' : format(datum.value, '~g')";

function nameOf({ name, kind }: Contender): string {
  return kind === "bare" ? `${name} (bare)` : name;
}

function better({ fewer }: Result): string {
  return fewer ? "less is better" : "more is better";
}

function times(ours: Result["contenders"][number], other: typeof ours): string {
  return digitsOf(ratio(ours.rounds, other.rounds).median);
}

function digitsOf(number: number): string {
  return number >= 10 ? number.toFixed(0) : number >= 1 ? number.toFixed(1) : number.toFixed(2);
}

function percent(number: number): string {
  const rounded = number > 99.95 && number < 100 ? 99.9 : Number(number.toFixed(1));
  return `${rounded} %`;
}

function decades([from, to]: readonly [number, number]): number[] {
  const powers = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
    powers.push(10 ** power);
  }
  return powers.filter((power) => power >= from && power <= to);
}

/** Moves labels apart that would overlap, and as little as possible; their places are values again. */
export function apart<Label extends { readonly median: number }>(
  labels: readonly Label[],
  [from, to]: readonly [number, number],
): (Label & { place: number })[] {
  const size = Math.log(to / from);
  const sorted = labels.toSorted((a, b) => b.median - a.median);
  const ys = sorted.map(({ median }) => PANEL * Math.log(to / median) / size);
  // Those above push down, and then those below push up what would leave the panel.
  for (let at = 1; at < ys.length; at++) ys[at] = Math.max(ys[at]!, ys[at - 1]! + LEADING);
  let limit = PANEL;
  for (let at = ys.length - 1; at >= 0; at--, limit -= LEADING) ys[at] = Math.min(ys[at]!, limit);
  return sorted.map((label, at) => ({ ...label, place: to / Math.exp(ys[at]! / PANEL * size) }));
}
