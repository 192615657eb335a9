/**
 * The plan of a run: all that will go wrong, and when, made before it begins. Scheme, seed and
 * length give the same plan each time, so that they reproduce a run of faults.
 */

import { Random } from "./random.ts";

/** The processes of a run. */
export const ROLES = ["publisher", "first", "second"] as const;

/** What a process is there for. */
export type Role = typeof ROLES[number];

/** Those who subscribe. */
export const SUBSCRIBERS = ["first", "second"] as const;

/** The channels of a run. */
export const CHANNELS = ["one", "two"] as const;

/** How a wire misbehaves. */
export type Misbehaviour =
  | { readonly kind: "cut" | "refuse" | "freeze" | "stall" | "stall-up" | "stall-down" }
  /** Each piece of bytes is held up for so many milliseconds. */
  | { readonly kind: "delay"; readonly by: number }
  /** So many bytes at a time. */
  | { readonly kind: "drip"; readonly bytes: number }
  /** Once so many more bytes have come from the server. */
  | { readonly kind: "reset"; readonly behind: number };

/** What a world takes from a server that runs on, and gives back. */
export type Harm = "revoke" | "starve" | "demote";

/**
 * What is done to a server, by its number. It may also lose what clients need of it for a while:
 * their right to publish, its memory, its being the master.
 */
export interface ServerFault {
  readonly kind: "kill" | "pause" | "restart" | "failover" | Harm;
  readonly server: number;
}

/**
 * Where a reader comes back: behind its own last event, behind somebody else's, or with the newest
 * events of the log.
 */
export type Whence = "own" | "other" | "publisher" | "history";

/** What a process is told to do. */
export type Order =
  /** One of the publisher's two broadcasts is disconnected, and another one takes its place. */
  | { readonly kind: "replace"; readonly slot: "a" | "b" }
  /** A reader leaves, and comes back behind an id of somebody's. */
  | {
    readonly kind: "leave";
    readonly role: typeof SUBSCRIBERS[number];
    readonly channel: string;
    readonly from: Whence;
  }
  /** Someone asks for a page of a channel's past. */
  | {
    readonly kind: "look";
    readonly role: typeof SUBSCRIBERS[number];
    readonly channel: string;
    readonly limit: number;
  }
  /** The slow reader of a channel reads nothing for a while. */
  | {
    readonly kind: "doze";
    readonly role: typeof SUBSCRIBERS[number];
    readonly channel: string;
  }
  /** More messages in one turn than readers take in one. */
  | { readonly kind: "burst"; readonly count: number };

/** Something that happens; times are in milliseconds from the beginning. */
export type Incident =
  & { readonly at: number; readonly lasts: number }
  & (
    | { readonly what: "wire"; readonly role: Role; readonly fault: Misbehaviour }
    | { readonly what: "server"; readonly fault: ServerFault }
    | { readonly what: "order"; readonly order: Order }
  );

/** What a scheme allows a plan to do. */
export interface Limits {
  /** What can be done to its servers. */
  readonly serverFaults: readonly ServerFault["kind"][];
  /** How many servers there are. */
  readonly servers: number;
  /** How many seconds a server is given between two faults. */
  readonly pace: number;
  /** How long a server that was killed stays away, in seconds. */
  readonly away: readonly [least: number, most: number];
}

/** All that is decided before a run begins. */
export interface Plan {
  readonly scheme: string;
  readonly seed: number;
  readonly seconds: number;
  /** Which of the processes runs on Node. */
  readonly onNode: Role;
  /** Parameters of the URL. */
  readonly parameters: Readonly<Record<string, string>>;
  /** How long the slow reader takes for an event, in milliseconds. */
  readonly slowness: number;
  readonly incidents: readonly Incident[];
}

/** Makes the plan. */
export function planOf(scheme: string, seed: number, seconds: number, limits: Limits): Plan {
  const random = new Random(`${scheme} ${seed} ${seconds}`);
  const end = seconds * 1_000;
  const parameters = {
    buffer: random.pick(["8", "64", "1024"]),
    probe: random.pick(["500ms", "1s", "2s", "10s"]),
    timeout: random.pick(["1s", "3s", "10s"]),
    linger: random.pick(["500ms", "10s"]),
  };
  const slowness = random.pick([1, 3, 8]);
  const incidents: Incident[] = [
    ...ROLES.flatMap((role) => wireFaults(random, role, end)),
    ...serverFaults(random, end, limits),
    ...orders(random, end),
  ];
  incidents.sort((one, other) => one.at - other.at);
  // So that a short series of seeds, or of schemes, has each process on Node once.
  const onNode = ROLES[(seed + scheme.length) % ROLES.length]!;
  return { scheme, seed, seconds, onNode, parameters, slowness, incidents };
}

function wireFaults(random: Random, role: Role, end: number): Incident[] {
  const incidents: Incident[] = [];
  for (let at = random.between(300, 2_000); at < end - 500;) {
    const fault = misbehaviour(random);
    const isShort = fault.kind === "cut" || fault.kind === "reset";
    const lasts = isShort ? 0 : Math.min(random.between(100, 4_000), end - at);
    incidents.push({ at, lasts, what: "wire", role, fault });
    at += lasts + random.between(300, 2_500);
  }
  return incidents;
}

function misbehaviour(random: Random): Misbehaviour {
  const kind = random.pick(
    [
      ...["cut", "cut", "refuse", "freeze", "stall", "stall-up", "stall-down"],
      ...["delay", "drip", "reset", "reset"],
    ] as Misbehaviour["kind"][],
  );
  if (kind === "delay") return { kind, by: random.between(1, 80) };
  if (kind === "drip") return { kind, bytes: random.between(1, 200) };
  if (kind === "reset") return { kind, behind: random.between(0, 5_000) };
  return { kind };
}

function serverFaults(random: Random, end: number, limits: Limits): Incident[] {
  const { serverFaults, servers, pace, away: [least, most] } = limits;
  const incidents: Incident[] = [];
  if (serverFaults.length === 0) return incidents;
  // The first one early, so that a short run has one, too.
  for (let at = random.between(1_000, Math.min(4_000, end / 2)); at < end - 500;) {
    const fault = { kind: random.pick(serverFaults), server: random.between(0, servers - 1) };
    const lasts = fault.kind === "pause"
      ? random.between(300, 5_000)
      : random.between(least * 1_000, most * 1_000);
    incidents.push({ at, lasts, what: "server", fault });
    at += lasts + random.between(pace * 600, pace * 1_400);
  }
  return incidents;
}

const WHENCE: Whence[] = ["own", "own", "other", "other", "publisher", "history"];

function orders(random: Random, end: number): Incident[] {
  const incidents: Incident[] = [];
  const add = (at: number, lasts: number, order: Order) =>
    incidents.push({ at, lasts, what: "order", order });
  for (let at = random.between(1_000, 4_000); at < end - 500; at += random.between(2_000, 6_000)) {
    add(at, 0, { kind: "replace", slot: random.pick(["a", "b"] as const) });
  }
  for (let at = random.between(1_000, 4_000); at < end - 500; at += random.between(2_000, 6_000)) {
    add(at, 0, { kind: "burst", count: random.between(50, 300) });
  }
  for (const role of SUBSCRIBERS) {
    for (const channel of CHANNELS) {
      for (let at = random.between(500, 3_000); at < end - 500;) {
        const lasts = Math.min(random.pick([0, 50, 500, 1_500, 3_000]), end - at);
        const from = random.pick(WHENCE);
        add(at, lasts, { kind: "leave", role, channel, from });
        at += lasts + random.between(500, 3_000);
      }
      for (let at = random.between(500, 3_000); at < end; at += random.between(1_000, 4_000)) {
        add(at, 0, { kind: "look", role, channel, limit: random.between(1, 200) });
      }
      for (let at = random.between(500, 5_000); at < end - 500;) {
        const lasts = Math.min(random.between(500, 4_000), end - at);
        add(at, lasts, { kind: "doze", role, channel });
        at += lasts + random.between(1_000, 6_000);
      }
    }
  }
  return incidents;
}

/** A plan in words, a line for each incident. */
export function describe(plan: Plan): string[] {
  return plan.incidents.map((incident) => {
    const { at, lasts } = incident;
    const time = `${(at / 1_000).toFixed(1).padStart(6)} s  `;
    const duration = lasts > 0 ? `, for ${lasts} ms` : "";
    return `${time}${subjectOf(incident)}${duration}`;
  });
}

function subjectOf(incident: Incident): string {
  if (incident.what === "wire") {
    const { kind, ...details } = incident.fault;
    const [detail] = Object.entries(details);
    return `${incident.role}'s wire: ${kind}${detail ? ` ${detail[0]} ${detail[1]}` : ""}`;
  }
  if (incident.what === "server") {
    return `server ${incident.fault.server}: ${incident.fault.kind}`;
  }
  const { order } = incident;
  if (order.kind === "replace") return `publisher: broadcast ${order.slot} is replaced`;
  if (order.kind === "burst") return `publisher: ${order.count} messages at once`;
  if (order.kind === "doze") return `${order.role}: the slow reader of "${order.channel}" dozes`;
  if (order.kind === "look") {
    return `${order.role}: asks for ${order.limit} events of "${order.channel}"`;
  }
  if (order.from === "history") {
    return `${order.role}: the leaver of "${order.channel}" leaves, to come back with history`;
  }
  const whose = order.from === "own" ? "its own" : `the ${order.from}'s`;
  return `${order.role}: the leaver of "${order.channel}" leaves, to come back by ${whose} id`;
}
