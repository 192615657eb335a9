/** The timelines of gaps: what is published, above what a subscriber receives. */

/** A timeline. Times are columns from 0 to 8. */
interface Timeline {
  /** What somebody hears who cannot see it. */
  readonly title: string;
  /** The name of the upper line. */
  readonly upper: string;
  /** What is published, or lies in the log. */
  readonly published: readonly Mark[];
  /** What the subscriber receives. */
  readonly received: readonly Mark[];
  /** When the gap is reported, and the words beside its name. */
  readonly gap: { readonly at: number; readonly words: string };
  /** A stretch of time, or a moment if both ends are the same. */
  readonly span: {
    readonly from: number;
    readonly to: number;
    readonly words: string;
    /** Whether it concerns the upper line, the lower one, or both. */
    readonly on: "upper" | "lower" | "both";
  };
}

/** An event at a time. */
interface Mark {
  readonly at: number;
  readonly name: string;
  /** Whether it is gone by the end. */
  readonly isGone?: boolean;
}

const marks = (names: string, from: number, gone = ""): Mark[] =>
  names.split(" ").map((name, index) => ({
    at: from + index,
    name,
    isGone: gone.split(" ").includes(name),
  }));

/** By cause. */
const TIMELINES: Readonly<Record<string, Timeline>> = {
  disconnect: {
    title:
      "Events 3 and 4 are published while the connection is lost; then comes a gap, and event 5",
    upper: "published",
    published: [...marks("1 2 3 4", 0.6, "3 4"), ...marks("5", 6.6)],
    received: [...marks("1 2", 0.6), ...marks("5", 6.6)],
    gap: { at: 5.5, words: "disconnect" },
    span: { from: 2.1, to: 4.7, words: "connection lost", on: "both" },
  },
  overflow: {
    title:
      "A slow reader: event 2 has left the buffer of four; then comes a gap of one, and event 3",
    upper: "published, of which the newest four are kept",
    published: marks("1 2 3 4 5 6", 0.3, "1 2"),
    received: [...marks("1", 0.3), ...marks("3 4", 7)],
    gap: { at: 6.2, words: "overflow, missed: 1" },
    span: { from: 0.9, to: 4.7, words: "the reader is busy", on: "lower" },
  },
  trimmed: {
    title: "The log removed 1 to 4 while the subscriber was away; then comes a gap, and event 5",
    upper: "the log",
    published: marks("1 2 3 4 5 6", 0.3, "1 2 3 4"),
    received: [...marks("1 2", 0.3), ...marks("5 6", 7)],
    gap: { at: 6, words: "trimmed" },
    span: { from: 1.9, to: 5.2, words: "away", on: "lower" },
  },
  rollback: {
    title: "A failover loses 3 and 4, which were received; then comes a gap, and another 3",
    upper: "the log",
    published: [...marks("1 2 3 4", 0.3, "3 4"), ...marks("3′", 6.8)],
    received: [...marks("1 2 3 4", 0.3), ...marks("3′", 6.8)],
    gap: { at: 5.6, words: "rollback" },
    span: { from: 4.3, to: 4.3, words: "failover", on: "upper" },
  },
  reset: {
    title:
      "The log is deleted and created again; then comes a gap, and the first event of the new log",
    upper: "the log",
    published: [...marks("1 2 3", 0.3, "1 2 3"), ...marks("1′ 2′", 6)],
    received: [...marks("1 2 3", 0.3), ...marks("1′ 2′", 6)],
    gap: { at: 4.9, words: "reset" },
    span: { from: 3.9, to: 3.9, words: "deleted, recreated", on: "upper" },
  },
  unknown: {
    title: "The broker drops 2 and 3; the number of 4 shows the hole; then comes a gap of two",
    upper: "published, numbered",
    published: marks("1 2 3 4", 1, "2 3"),
    received: [...marks("1", 1), ...marks("4", 6.2)],
    gap: { at: 5, words: "unknown, missed: 2" },
    span: { from: 1.5, to: 3.5, words: "dropped by the broker", on: "upper" },
  },
};

const WIDTH = 480;
const UPPER = 56;
const LOWER = 136;
const HEIGHT = 188;
const RADIUS = 13;
const STYLE = `
.page { fill: #ffffff; }
.line { stroke: #9aa2af; stroke-width: 2; }
.way { stroke: #9aa2af; stroke-width: 1.5; stroke-dasharray: 2 4; }
.event { fill: #e8f1ff; stroke: #2563eb; stroke-width: 1.5; }
.gone { fill: #ffffff; stroke: #9aa2af; stroke-width: 1.5; stroke-dasharray: 4 3; }
.gap { fill: #fff6e5; stroke: #b45309; stroke-width: 2; }
.span { fill: #f4f5f7; stroke: #d5d8de; }
.moment { stroke: #b45309; stroke-width: 2; }
text { fill: #1f2430; }
.name { fill: #6b7280; font-size: 13px; }
.number { text-anchor: middle; }
.faint { fill: #6b7280; }
.cause { fill: #b45309; font-weight: 600; text-anchor: middle; font-size: 13px; }
@media (prefers-color-scheme: dark) {
  .page { fill: #16181d; }
  .line, .way { stroke: #5b6474; }
  .event { fill: #1c2f4a; stroke: #7aa7f7; }
  .gone { fill: #16181d; stroke: #5b6474; }
  .gap { fill: #3a2f17; stroke: #f0a35a; }
  .span { fill: #1f232b; stroke: #363c48; }
  .moment { stroke: #f0a35a; }
  text { fill: #e6e8ec; }
  .name, .faint { fill: #9aa2af; }
  .cause { fill: #f0a35a; }
}
`;

/** The drawings, by their paths. */
export const DRAWINGS: ReadonlyMap<string, string> = new Map(
  Object.entries(TIMELINES).map(([cause, timeline]) => [
    `docs/images/gap-${cause}.svg`,
    draw(timeline),
  ]),
);

function draw({ title, upper, published, received, gap, span }: Timeline): string {
  const top = span.on === "lower" ? LOWER - 22 : UPPER - 22;
  const bottom = span.on === "upper" ? UPPER + 22 : LOWER + 22;
  const ways = received.flatMap(({ at, name }) => {
    const from = published.find((mark) => mark.name === name)!;
    return line("way", xOf(from.at), UPPER + RADIUS, xOf(at), LOWER - RADIUS);
  });
  const middle = xOf((span.from + span.to) / 2);
  const beside = { upper: UPPER + 40, lower: LOWER + 40, both: (UPPER + LOWER) / 2 + 5 };
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-labelledby="title" font-family="ui-sans-serif, system-ui, sans-serif" font-size="14">`,
    `<title id="title">${title}</title>`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="8" />`,
    span.from < span.to &&
    `<rect class="span" x="${xOf(span.from)}" y="${top}" width="${
      xOf(span.to) - xOf(span.from)
    }" height="${bottom - top}" rx="6" />`,
    text("name", 16, 24, upper),
    text("name", 16, LOWER + 40, "subscriber"),
    line("line", 16, UPPER, WIDTH - 16, UPPER),
    line("line", 16, LOWER, WIDTH - 16, LOWER),
    ...ways,
    ...published.flatMap((mark) => event(mark, UPPER)),
    ...received.flatMap(({ at, name }) => event({ at, name }, LOWER)),
    span.from === span.to &&
    line("moment", xOf(span.from), UPPER - 22, xOf(span.from), UPPER + 28),
    text("name number", middle, beside[span.on], span.words),
    `<rect class="gap" x="${xOf(gap.at) - 11}" y="${
      LOWER - 11
    }" width="22" height="22" rx="3" transform="rotate(45 ${xOf(gap.at)} ${LOWER})" />`,
    text("cause", xOf(gap.at), LOWER + 40, `gap: ${gap.words}`),
    `</svg>`,
    "",
  ].filter((part) => part !== false).join("\n");
}

function event({ at, name, isGone = false }: Mark, y: number): string[] {
  return [
    `<circle class="${isGone ? "gone" : "event"}" cx="${xOf(at)}" cy="${y}" r="${RADIUS}" />`,
    text(`number${isGone ? " faint" : ""}`, xOf(at), y + 5, name),
  ];
}

function line(kind: string, x1: number, y1: number, x2: number, y2: number): string {
  return `<line class="${kind}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" />`;
}

function text(kind: string, x: number, y: number, words: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${words}</text>`;
}

function xOf(at: number): number {
  return Math.round(30 + at * 52);
}
