/**
 * The rows of the table: what is raced, by whom, and how long.
 *
 * @module
 */

/** Where contenders run. */
export type Where = "node" | "newest node" | "deno" | "bun";

/** One who takes part in a race. */
export interface Contender {
  /** The name in the table, and that of the function in its topic's file. */
  readonly name: string;
  /**
   * What it is to us: `ours`, another setting of ours, a library that does the same, or the
   * platform's or the client's own means with nothing around them.
   */
  readonly kind: "ours" | "variant" | "peer" | "bare";
}

/** One race. */
export interface Row {
  /** The name on the command line. */
  readonly name: string;
  /** What is raced. */
  readonly title: string;
  /** What the figures count. */
  readonly unit: string;
  /** Whether the smaller figure is the better one. */
  readonly fewer?: boolean;
  /** Where the contenders run; with event streams, their servers. */
  readonly where: Where;
  /** The file with the contenders, without its ending. */
  readonly topic: string;
  /** The program that a contender runs in, where that is not the racer. */
  readonly program?: "event_stream_server" | "program";
  /** What the topic is told once. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What it is told for each race; to warm up it takes twice the milliseconds. */
  readonly race: Readonly<Record<string, number>>;
  /** Ours comes first. */
  readonly contenders: readonly Contender[];
}

const MEMORY: Contender = { name: "memory://", kind: "ours" };
const WITHOUT_LOG: Contender = { name: "memory://?history=0", kind: "variant" };
const EVENTS_ON: Contender = { name: "events.on", kind: "peer" };
const ORPC: Contender = { name: "oRPC", kind: "peer" };
const GRAPHQL: Contender = { name: "graphql-subscriptions", kind: "peer" };
const YOGA: Contender = { name: "graphql-yoga", kind: "peer" };
const IN_PROCESS = [MEMORY, WITHOUT_LOG, EVENTS_ON, ORPC, GRAPHQL, YOGA];

const ON_NODE: readonly Contender[] = [
  { name: "pipeline()", kind: "ours" },
  { name: "better-sse", kind: "peer" },
  { name: "res.write()", kind: "bare" },
];
const ON_THE_WEB: readonly Contender[] = [
  { name: "eventStreamResponse()", kind: "ours" },
  { name: "enqueue()", kind: "bare" },
];

const PUB_SUB: readonly Contender[] = [
  { name: "redis://", kind: "ours" },
  { name: "graphql-redis-subscriptions", kind: "peer" },
  ORPC,
  { name: "ioredis", kind: "bare" },
];
const LOG: readonly Contender[] = [
  { name: "redis-stream://", kind: "ours" },
  { name: "oRPC, resumable", kind: "peer" },
];

const DELIVERIES = "deliveries/s";
const BURST = 64;

/** All rows, on the Node of the machine first: these are the headline. */
export const ROWS: readonly Row[] = [
  ...inProcess("node"),
  ...eventStreams("node"),
  ...eventStreams("deno"),
  ...redis(),
  ...latency(),
  ...memory(),
  start("node"),
  start("deno"),
];

/** What `--full` adds. */
export const FURTHER_ROWS: readonly Row[] = [
  ...inProcess("newest node"),
  ...inProcess("deno"),
  ...inProcess("bun"),
  ...eventStreams("bun"),
];

function inProcess(where: Where): Row[] {
  return [1, BURST].flatMap((size) =>
    [1, 10, 100, 1_000].map((readers): Row => ({
      name: named("memory", suffix(where), size === 1 ? "single" : "burst", readers),
      title: `In process, ${plural(readers, "reader")}, ${pace(size)}`,
      unit: DELIVERIES,
      where,
      topic: "in_process",
      options: { readers },
      race: { size, milliseconds: 500, least: Math.min(10_000, 200_000 / readers) },
      contenders: IN_PROCESS,
    }))
  );
}

function eventStreams(where: Where): Row[] {
  const contenders = where === "node" ? ON_NODE : ON_THE_WEB;
  const program = "event_stream_server";
  const base = { where, topic: "event_streams", program, contenders } as const;
  return [
    ...[1, BURST].map((size): Row => ({
      ...base,
      name: named("sse", suffix(where), size === 1 ? "single" : "burst"),
      title: `Event streams, 1,000 connections, ${pace(size)}`,
      unit: DELIVERIES,
      options: { connections: 1_000 },
      race: { size, milliseconds: 1_500, least: 20 },
    })),
    {
      ...base,
      name: named("sse", suffix(where), "memory"),
      title: "Event streams, 1,000 connections: memory of the server's process",
      unit: "bytes per connection",
      fewer: true,
      options: { connections: 1_000, memory: true },
      race: {},
    },
  ];
}

function redis(): Row[] {
  return [PUB_SUB, LOG].flatMap((contenders) =>
    [1, BURST].flatMap((window) =>
      [1, 100].map((readers): Row => ({
        name: named(schemeOf(contenders), window === 1 ? "single" : "window", readers),
        title: `${contenders[0]!.name}, ${plural(readers, "reader")}, ${
          window === 1 ? "one" : window
        } in flight`,
        unit: "publishes/s",
        where: "node",
        topic: "redis",
        options: { readers },
        // Fewer that are awaited one by one would measure how fast each is compiled.
        race: { window, milliseconds: 1_200, least: readers === 1 ? 10_000 : 5_000 },
        contenders,
      }))
    )
  );
}

function latency(): Row[] {
  return [PUB_SUB, LOG].map((contenders): Row => ({
    name: named(schemeOf(contenders), "p99"),
    title: `${contenders[0]!.name}, one reader, one in flight: p99 from publish to receive`,
    unit: "ms",
    fewer: true,
    where: "node",
    topic: "redis",
    options: { readers: 1 },
    race: { part: 0.99, least: 5_000 },
    contenders,
  }));
}

function memory(): Row[] {
  return [1, 10_000].map((channels): Row => ({
    name: channels === 1 ? "memory-per-subscription" : "memory-per-channel",
    title: `In process, 10,000 subscriptions ${
      channels === 1 ? "to one channel" : "to a channel each"
    }: heap`,
    unit: "bytes per subscription",
    fewer: true,
    where: "node",
    topic: "weights",
    options: { subscriptions: 10_000, channels },
    race: {},
    contenders: [MEMORY, EVENTS_ON, ORPC, { name: "ReadableStream", kind: "bare" }],
  }));
}

function start(where: Where): Row {
  return {
    name: named("start", suffix(where)),
    title: "Import and first message, beyond a program that does nothing",
    unit: "ms",
    fewer: true,
    where,
    topic: "starts",
    program: "program",
    options: {},
    race: {},
    contenders: [MEMORY, ORPC, GRAPHQL, YOGA],
  };
}

function schemeOf([ours]: readonly Contender[]): string {
  return ours!.name.replace("://", "");
}

function pace(size: number): string {
  return size === 1 ? "one at a time" : `bursts of ${size}`;
}

function plural(count: number, noun: string): string {
  return count === 1 ? `one ${noun}` : `${count.toLocaleString("en")} ${noun}s`;
}

function suffix(where: Where): string {
  return where === "node" ? "" : where.replace(" ", "-");
}

function named(...parts: (string | number)[]): string {
  return parts.filter(Boolean).join("-");
}
