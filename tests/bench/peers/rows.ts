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
  /** Up to which count it takes part in what grows, where more would take it minutes. */
  readonly most?: number;
}

/** A figure that a turn brings. */
export interface Measure {
  /** Its name, where a turn brings several figures. */
  readonly name?: string;
  /** What it says, where there are several. */
  readonly title?: string;
  /** What it counts. */
  readonly unit: string;
  /** Whether the smaller figure is the better one. */
  readonly fewer?: boolean;
}

/** One race. */
export interface Row {
  /** The name on the command line. */
  readonly name: string;
  /** What is raced. */
  readonly title: string;
  /** What each turn brings: a figure, or several by their names. */
  readonly measures: readonly Measure[];
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
  /** What grows from race to race; each is told its `count`. */
  readonly growth?: { readonly of: string; readonly counts: readonly number[] };
  /** How often the link of the subscribers is cut, while all contenders run at the same time. */
  readonly cuts?: number;
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
  { name: "sendEventStream()", kind: "ours" },
  { name: "pipeline()", kind: "variant" },
  { name: "better-sse", kind: "peer" },
  { name: "res.write()", kind: "bare" },
];
const ON_THE_WEB: readonly Contender[] = [
  { name: "eventStreamResponse()", kind: "ours" },
  { name: "enqueue()", kind: "bare" },
];

const SOCKETS: readonly Contender[] = [
  { name: "sendTo()", kind: "ours" },
  { name: "Socket.IO", kind: "peer" },
  { name: "ws.send()", kind: "bare" },
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

const POSTGRES: readonly Contender[] = [
  { name: "postgres://", kind: "ours" },
  { name: "postgres.js", kind: "bare" },
];
const NATS: readonly Contender[] = [
  { name: "nats://", kind: "ours" },
  { name: "nats.js", kind: "bare" },
];
const GROWING: readonly Contender[] = [
  MEMORY,
  EVENTS_ON,
  ORPC,
  GRAPHQL,
  { name: "ReadableStream", kind: "bare" },
];
const GROWING_ON_REDIS: readonly Contender[] = [
  { name: "redis://", kind: "ours" },
  { name: "redis-stream://", kind: "variant" },
  { name: "graphql-redis-subscriptions", kind: "peer" },
  ORPC,
  { name: "ioredis", kind: "bare" },
];
const CUT: readonly Contender[] = [
  { name: "redis-stream://", kind: "ours" },
  { name: "redis://", kind: "variant" },
  { name: "oRPC, resumable", kind: "peer" },
  { name: "Socket.IO, Redis streams", kind: "peer" },
  { name: "oRPC", kind: "peer" },
  { name: "graphql-redis-subscriptions", kind: "peer" },
];

const DELIVERIES: readonly Measure[] = [{ unit: "deliveries/s" }];
const PUBLISHES: readonly Measure[] = [{ unit: "publishes/s" }];
const BURST = 64;

/** All rows, on the Node of the machine first: these are the headline. */
export const ROWS: readonly Row[] = [
  ...inProcess("node"),
  ...eventStreams("node"),
  ...eventStreams("deno"),
  ...webSockets(),
  ...redis(),
  ...oneInFlight(),
  ...latency(),
  ...memory(),
  start("node"),
  start("deno"),
  cuts(),
];

/** What `--full` adds. */
export const FURTHER_ROWS: readonly Row[] = [
  ...growth(),
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
      measures: DELIVERIES,
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
      title: `Event streams, ${pace(size)}`,
      measures: DELIVERIES,
      options: { connections: 1_000 },
      race: { size, milliseconds: 1_500, least: 20 },
    })),
    {
      ...base,
      name: named("sse", suffix(where), "memory"),
      title: "Event streams, memory of the server",
      measures: [{ unit: "bytes per connection", fewer: true }],
      options: { connections: 1_000, memory: true },
      race: {},
    },
  ];
}

function webSockets(): Row[] {
  return [1, BURST].map((size): Row => ({
    name: named("websocket", size === 1 ? "single" : "burst"),
    title: `WebSockets, ${pace(size)}`,
    measures: DELIVERIES,
    where: "node",
    topic: "event_streams",
    program: "event_stream_server",
    options: { connections: 1_000, sockets: true },
    race: { size, milliseconds: 1_500, least: 20 },
    contenders: SOCKETS,
  }));
}

function redis(): Row[] {
  return [PUB_SUB, LOG].flatMap((contenders) =>
    [1, BURST].flatMap((window) =>
      [1, 100].map((readers): Row => ({
        name: named(schemeOf(contenders), window === 1 ? "single" : "window", readers),
        title: `${contenders[0]!.name}, ${plural(readers, "reader")}, ${
          window === 1 ? "one" : window
        } in flight`,
        measures: PUBLISHES,
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

function oneInFlight(): Row[] {
  return [POSTGRES, NATS].map((contenders): Row => ({
    name: named(schemeOf(contenders), "single", 1),
    title: `${contenders[0]!.name}, one reader, one in flight`,
    measures: PUBLISHES,
    where: "node",
    topic: schemeOf(contenders),
    options: { readers: 1 },
    race: { window: 1, milliseconds: 1_200, least: 10_000 },
    contenders,
  }));
}

function latency(): Row[] {
  return [PUB_SUB, LOG].map((contenders): Row => ({
    name: named(schemeOf(contenders), "p99"),
    title: `${contenders[0]!.name}, p99 from publish to receive`,
    measures: [{ unit: "ms", fewer: true }],
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
    title: `Heap of a subscription to ${channels === 1 ? "one channel" : "a channel of its own"}`,
    measures: [{ unit: "bytes per subscription", fewer: true }],
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
    title: "Import and first message",
    measures: [{ unit: "ms", fewer: true }],
    where,
    topic: "starts",
    program: "program",
    options: {},
    race: {},
    contenders: [MEMORY, ORPC, GRAPHQL, YOGA],
  };
}

function growth(): Row[] {
  const subscribing: readonly Measure[] = [
    { name: "subscribe", title: "Subscribing, all at once", unit: "µs per subscription" },
    { name: "publish", title: "Publishing, bursts of 64", unit: "µs per delivery" },
    { name: "leave", title: "Leaving, all at once", unit: "µs per subscription" },
    { name: "memory", title: "Memory, with a reader that waits", unit: "bytes per subscription" },
    {
      name: "block",
      title: "Longest block of the event loop",
      unit: "ms",
    },
  ].map((measure) => ({ ...measure, fewer: true }));
  const publishing: readonly Measure[] = [
    { name: "publish", title: "Publishing, bursts of 8", unit: "µs per message" },
    { name: "memory", title: "Memory held once all have arrived", unit: "KiB" },
  ].map((measure) => ({ ...measure, fewer: true }));
  const grown = {
    channels: {
      title: "channels with a subscriber each",
      measures: subscribing,
      counts: [1, 10, 100, 1_000, 10_000, 100_000],
    },
    subscribers: {
      title: "subscribers of one channel",
      measures: subscribing,
      counts: [1, 10, 100, 1_000, 10_000],
    },
    payload: {
      title: "bytes of payload",
      measures: publishing,
      counts: [16, 256, 4_096, 65_536, 1_048_576],
    },
  };
  return Object.entries(grown).flatMap(([grows, { title, measures, counts }]) =>
    [GROWING, GROWING_ON_REDIS].map((contenders): Row => ({
      name: named("growth", grows, schemeOf(contenders)),
      title: contenders[0]!.name,
      measures,
      where: "node",
      topic: "growth",
      options: { grows },
      race: {},
      growth: { of: title, counts },
      // Each of them listens for errors, too: who leaves looks for its listener among all.
      contenders: contenders.map((contender) =>
        contender === EVENTS_ON && grows === "channels" ? { ...contender, most: 10_000 } : contender
      ),
    }))
  );
}

function cuts(): Row {
  const count = 10;
  return {
    name: "cuts",
    title: `The subscriber's link to Redis is cut ${count} times`,
    measures: [
      { name: "delivered", title: "Delivered", unit: "%" },
      { name: "told", title: "Missing, reported", unit: "%", fewer: true },
      { name: "silent", title: "Missing, not reported", unit: "%", fewer: true },
      { name: "twice", title: "Delivered twice", unit: "messages", fewer: true },
      { name: "gaps", title: "Reports of missing messages", unit: "reports", fewer: true },
    ],
    where: "node",
    topic: "cuts",
    options: {},
    race: {},
    cuts: count,
    contenders: CUT,
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
