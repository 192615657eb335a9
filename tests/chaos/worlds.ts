/**
 * The worlds of a run: for each scheme the servers it needs, with wires of its own for each
 * process. They are set up so that what a server has confirmed outlives its death.
 */

import { join } from "node:path";
import { Redis } from "ioredis";
import sqlOf from "postgres";
import * as amqp from "../services/amqp.ts";
import * as kafka from "../services/kafka.ts";
import * as mqtt from "../services/mqtt.ts";
import * as nats from "../services/nats.ts";
import * as pgbouncer from "../services/pgbouncer.ts";
import * as postgres from "../services/postgres.ts";
import * as redis from "../services/redis.ts";
import * as redisCluster from "../services/redis_cluster.ts";
import * as redisSentinel from "../services/redis_sentinel.ts";
import type { Server } from "../services/server.ts";
import { freePort } from "../services/service.ts";
import { type Harm, type Limits, type Role, ROLES } from "./plan.ts";
import { Wire } from "./wire.ts";

/** How something is taken from a server, and given back. */
type Harms = Readonly<
  Partial<Record<Harm, Record<"begin" | "end", (server: Server) => Promise<void>>>>
>;

/** Servers, and the wires that lead there. */
export class World implements AsyncDisposable {
  /** Those that can be killed. */
  readonly servers: readonly Server[];
  /** The wires of each process. */
  readonly wires: ReadonlyMap<Role, readonly Wire[]>;
  /** The URL for a process, without parameters that any URL may have. */
  readonly urlOf: (role: Role) => string;
  /** Has another server take over. */
  readonly failover: (() => Promise<void>) | undefined;
  /** What can be taken from a server that runs on. */
  readonly harms: Harms | undefined;
  readonly #owner: AsyncDisposable | undefined;

  constructor(
    { servers, wires, urlOf, failover, harms, owner }:
      & Pick<World, "servers" | "wires" | "urlOf">
      & { failover?: () => Promise<void>; harms?: Harms; owner?: AsyncDisposable },
  ) {
    this.servers = servers;
    this.wires = wires;
    this.urlOf = urlOf;
    this.failover = failover;
    this.harms = harms;
    this.#owner = owner;
  }

  /** Ends all of it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const wires = [...this.wires.values()].flat();
    await Promise.all(wires.map((wire) => wire[Symbol.asyncDispose]()));
    if (this.#owner) return await this.#owner[Symbol.asyncDispose]();
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }
}

/** What is known of a scheme before its servers run. */
export interface Kind {
  /** What a run is asked for by. */
  readonly name: string;
  /** Whether there is a log. */
  readonly log: boolean;
  /** Whether all subscribers see one order. */
  readonly total: boolean;
  /** Whether it knows keys. */
  readonly keys: boolean;
  /** The client libraries that npm has to install. */
  readonly clients: readonly string[];
  /** What can be done to its servers. */
  readonly limits: Limits;
  /** How long all may take to be well again once nothing is wrong any more, in seconds. */
  readonly settling: number;
  /**
   * For how many seconds around a server's fault confirmed messages may be lost from the log, and
   * by which sentence of the documents.
   */
  readonly forgets?: { readonly seconds: number; readonly reason: string };
  /**
   * That its servers drop messages, by which sentence of the documents: what is known by the numbers
   * of a publisher must be told all the same.
   */
  readonly drops?: string;
  /**
   * That a message with an unknown outcome may be stored after later ones although there are keys,
   * by which sentence of its backend.
   */
  readonly late?: string;
  readonly start: () => Promise<World>;
}

const ALL = ["kill", "pause", "restart"] as const;

/** What can be taken from a Redis: whoever listens keeps its right to, or would be refused for good. */
const REDIS_HARMS: Harms = {
  revoke: {
    begin: (server) => command(server, "ACL SETUSER default -publish -spublish -xadd -eval"),
    end: (server) => command(server, "ACL SETUSER default +@all"),
  },
  starve: {
    begin: (server) => command(server, "CONFIG SET maxmemory 1"),
    end: (server) => command(server, "CONFIG SET maxmemory 0"),
  },
  demote: {
    begin: (server) => command(server, "REPLICAOF 127.0.0.1 1"),
    end: (server) => command(server, "REPLICAOF NO ONE"),
  },
};

/** A server that is back at once. */
const QUICK: Limits = { serverFaults: ALL, servers: 1, pace: 5, away: [0, 3] };
/** One that takes its time. */
const SLOW: Limits = { serverFaults: ALL, servers: 1, pace: 16, away: [0, 2] };

/** Every command is on disk, by a write of its own, before it is answered. */
const STORED = ["--appendonly", "yes", "--appendfsync", "always"];

/** What a server of MQTT keeps for a client that does not read. */
const FEW = "max_queued_messages 10\nmax_inflight_messages 5";

/** What a RabbitMQ has from its first start on: its user, and a policy for all queues. */
const SHORT = {
  users: [{ name: "guest", password: "guest", tags: "administrator" }],
  vhosts: [{ name: "/" }],
  permissions: [{ user: "guest", vhost: "/", configure: ".*", write: ".*", read: ".*" }],
  policies: [{
    vhost: "/",
    name: "short",
    pattern: ".*",
    "apply-to": "queues",
    definition: { "max-length": 10 },
  }],
};

const NATS = ["@nats-io/transport-node"];
const JETSTREAM = [...NATS, "@nats-io/jetstream"];

/** What can be run. */
export const KINDS: readonly Kind[] = [
  {
    name: "redis",
    log: false,
    total: true,
    keys: false,
    clients: ["ioredis"],
    limits: { ...QUICK, serverFaults: [...ALL, "revoke", "demote"] },
    settling: 15,
    start: async () => await single(await redis.start(), "redis", "", REDIS_HARMS),
  },
  {
    name: "redis-stream",
    log: true,
    total: true,
    keys: true,
    clients: ["ioredis"],
    limits: { ...QUICK, serverFaults: [...ALL, "revoke", "starve", "demote"] },
    settling: 15,
    start: async () =>
      await single(await redis.start({ args: STORED }), "redis-stream", "maxlen=0", REDIS_HARMS),
  },
  {
    name: "redis-sentinel",
    log: false,
    total: true,
    keys: false,
    clients: ["ioredis"],
    limits: {
      serverFaults: ["kill", "pause", "failover", "revoke"],
      servers: 2,
      pace: 12,
      away: [6, 8],
    },
    settling: 30,
    start: () => sentinel("redis"),
  },
  {
    name: "redis-stream-sentinel",
    log: true,
    total: true,
    keys: true,
    clients: ["ioredis"],
    limits: {
      serverFaults: ["kill", "pause", "failover", "revoke", "starve"],
      servers: 2,
      pace: 12,
      away: [6, 8],
    },
    settling: 30,
    forgets: { seconds: 12, reason: "what a failover had not stored yet" },
    start: () => sentinel("redis-stream", "maxlen=0"),
  },
  {
    name: "redis-cluster",
    log: false,
    // Each channel lies on one node.
    total: true,
    keys: false,
    clients: ["ioredis"],
    limits: { ...QUICK, serverFaults: [...ALL, "revoke"], servers: 3 },
    settling: 30,
    start: () => cluster("redis"),
  },
  {
    name: "redis-stream-cluster",
    log: true,
    total: true,
    keys: true,
    clients: ["ioredis"],
    limits: { ...QUICK, serverFaults: [...ALL, "revoke", "starve"], servers: 3 },
    settling: 30,
    start: () => cluster("redis-stream", "maxlen=0"),
  },
  {
    name: "postgres",
    log: false,
    total: true,
    keys: false,
    clients: ["postgres"],
    limits: QUICK,
    settling: 15,
    start: async () => await single(await postgres.start(), "postgres"),
  },
  {
    name: "postgres-stream",
    log: true,
    total: true,
    keys: true,
    clients: ["postgres"],
    limits: QUICK,
    settling: 15,
    start: async () => await single(await postgres.start(), "postgres-stream"),
  },
  {
    name: "postgres-stream-pooler",
    log: true,
    total: true,
    keys: true,
    clients: ["postgres"],
    limits: { ...QUICK, servers: 2 },
    // PgBouncer asks a server that was away once in 15 seconds: `server_login_retry`.
    settling: 30,
    start: behindPooler,
  },
  {
    name: "postgres-standby",
    log: false,
    total: true,
    keys: false,
    clients: ["postgres"],
    limits: { serverFaults: ["failover"], servers: 2, pace: 16, away: [1, 3] },
    settling: 30,
    start: () => withStandby("postgres"),
  },
  {
    name: "postgres-stream-standby",
    log: true,
    total: true,
    keys: true,
    clients: ["postgres"],
    limits: { serverFaults: ["failover"], servers: 2, pace: 16, away: [1, 3] },
    settling: 30,
    forgets: { seconds: 16, reason: "what a failover had not stored" },
    start: () => withStandby("postgres-stream"),
  },
  {
    name: "kafka",
    log: true,
    total: true,
    keys: false,
    clients: ["kafkajs"],
    limits: SLOW,
    settling: 30,
    start: startKafka,
  },
  {
    name: "amqp",
    log: false,
    total: false,
    keys: false,
    clients: ["amqplib"],
    limits: SLOW,
    settling: 15,
    start: async () => await single(await amqp.start(), "amqp"),
  },
  {
    name: "amqp-drops",
    log: false,
    total: false,
    keys: false,
    clients: ["amqplib"],
    limits: SLOW,
    settling: 15,
    drops: "what a queue's policy drops, unless a later message of the same publisher shows it",
    start: shortQueues,
  },
  {
    name: "amqp-stream",
    log: true,
    total: true,
    keys: false,
    clients: ["amqplib"],
    limits: SLOW,
    settling: 15,
    start: async () => await single(await amqp.startWithStreams(), "amqp-stream"),
  },
  {
    name: "nats",
    log: false,
    total: false,
    keys: false,
    clients: NATS,
    limits: QUICK,
    settling: 15,
    start: async () => await single(await nats.start({ jetstream: false }), "nats"),
  },
  {
    name: "nats-stream",
    log: true,
    total: true,
    keys: true,
    clients: JETSTREAM,
    limits: QUICK,
    settling: 15,
    start: async () => await single(await nats.start(), "nats-stream"),
  },
  {
    name: "nats-stream-cluster",
    log: true,
    total: true,
    keys: true,
    clients: JETSTREAM,
    // A server of the line 2.9 that is killed applies entries of its log twice when it is back:
    // from then on it has other numbers for all messages than the others.
    limits: { ...QUICK, serverFaults: ["pause", "restart", "failover"], servers: 3 },
    settling: 30,
    late: "a message with an unknown outcome and no key may still be stored later",
    start: natsCluster,
  },
  {
    name: "mqtt",
    log: false,
    total: false,
    keys: false,
    clients: ["mqtt"],
    limits: QUICK,
    settling: 15,
    // Without a limit nothing is dropped for a reader that is slow.
    start: async () => await single(await mqtt.start({ config: "max_queued_messages 0" }), "mqtt"),
  },
  {
    name: "mqtt-drops",
    log: false,
    total: false,
    keys: false,
    clients: ["mqtt"],
    limits: QUICK,
    settling: 15,
    drops: "what a server or bridge drops, unless a later message of the same publisher shows it",
    start: async () => await single(await mqtt.start({ config: FEW }), "mqtt"),
  },
];

/** A world of one server. */
async function single(
  server: Server,
  scheme: string,
  parameters = "",
  harms: Harms = {},
): Promise<World> {
  const wires = await lay([server.port]);
  const login = server.url.match(/^[^/]*\/\/([^@/]*@)?/)![1] ?? "";
  const path = new URL(server.url).pathname;
  return new World({
    servers: [server],
    wires,
    harms,
    urlOf: (role) =>
      `${scheme}://${login}127.0.0.1:${wires.get(role)![0]!.port}${path}?${parameters}`,
  });
}

/** Sends a command to a Redis. */
async function command({ port }: Server, line: string): Promise<void> {
  const client = new Redis({ port, retryStrategy: () => null });
  const ended = new Promise((resolve) => client.once("end", resolve));
  const [name, ...args] = line.split(" ");
  try {
    await client.call(name!, ...args);
  } finally {
    client.disconnect();
    await ended;
  }
}

/** For each process a wire to each port. */
async function lay(ports: readonly number[]): Promise<Map<Role, Wire[]>> {
  const wires = ROLES.map(async (role) =>
    [role, await Promise.all(ports.map((port) => Wire.lay(port)))] as const
  );
  return new Map(await Promise.all(wires));
}

function hosts(wires: readonly Wire[]): string {
  return wires.map(({ port }) => `127.0.0.1:${port}`).join(",");
}

/**
 * What servers say of each other leads past the wires, unless it is changed on its way. Ports have
 * five digits here and there, so that nothing else of the protocol changes.
 */
function lead(from: readonly Wire[], to: readonly Wire[]): void {
  const ports = new Map(to.map(({ target, port }) => [`${target}`, `${port}`]));
  const pattern = new RegExp(`(?<=[:\\n])(${[...ports.keys()].join("|")})(?=\\r\\n)`, "g");
  for (const wire of from) {
    wire.rewrite = (chunk) => {
      const text = bytesAsText(chunk);
      const led = text.replace(pattern, (port) => ports.get(port)!);
      return led === text ? chunk : textAsBytes(led);
    };
  }
}

function bytesAsText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8_192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8_192));
  }
  return text;
}

function textAsBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** A pooler between the wires and the server; either can be killed. */
async function behindPooler(): Promise<World> {
  const server = await postgres.start();
  const pooler = await pgbouncer.start({ server: server.port, mode: "transaction" });
  const world = await single(pooler, "postgres-stream");
  const { wires, urlOf } = world;
  return new World({ servers: [pooler, server], wires, urlOf });
}

/**
 * A primary and a standby, which take turns. At a failover all wires lead to the standby at once, and
 * it is promoted two seconds later. Then the old primary follows it, as a new standby.
 */
async function withStandby(scheme: string): Promise<World> {
  let primary = await postgres.start();
  let standby = await postgres.startStandby(primary, primary.port);
  const wires = await lay([primary.port]);
  const all = [...wires.values()].flat();
  async function failover(): Promise<void> {
    for (const wire of all) {
      wire.target = standby.port;
      wire.begin({ kind: "cut" });
    }
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    const sql = sqlOf(standby.url, { max: 1, onnotice: () => {} });
    await sql`select pg_promote()`;
    await sql.end();
    const old = primary;
    primary = standby;
    await old[Symbol.asyncDispose]();
    standby = await postgres.startStandby(primary, primary.port);
  }
  return new World({
    servers: [primary, standby],
    wires,
    urlOf: (role) => `${scheme}://postgres@127.0.0.1:${wires.get(role)![0]!.port}/postgres?`,
    failover,
    owner: {
      async [Symbol.asyncDispose](): Promise<void> {
        await standby[Symbol.asyncDispose]();
        await primary[Symbol.asyncDispose]();
      },
    },
  });
}

/** A RabbitMQ whose queues make way for what is new. */
async function shortQueues(): Promise<World> {
  const folder = await Deno.makeTempDir({ prefix: "definitions-" });
  const definitions = join(folder, "definitions.json");
  await Deno.writeTextFile(definitions, JSON.stringify(SHORT));
  // The file is read at each start; it goes with all that the runs leave.
  return await single(await amqp.start(`load_definitions = ${definitions}`), "amqp");
}

async function sentinel(scheme: string, parameters = ""): Promise<World> {
  const owner = await redisSentinel.start();
  const { servers, sentinels } = owner;
  const wires = await lay([...sentinels, ...servers].map(({ port }) => port));
  for (const own of wires.values()) {
    lead(own.slice(0, sentinels.length), own.slice(sentinels.length));
  }
  return new World({
    servers,
    wires,
    owner,
    urlOf: (role) =>
      `${scheme}://${hosts(wires.get(role)!.slice(0, sentinels.length))}` +
      `?sentinel=${redisSentinel.MASTER}&${parameters}`,
    failover: () => owner.failover(),
    harms: REDIS_HARMS,
  });
}

async function cluster(scheme: string, parameters = ""): Promise<World> {
  const owner = await redisCluster.start({ args: STORED });
  const wires = await lay(owner.nodes.map(({ port }) => port));
  for (const own of wires.values()) lead(own, own);
  return new World({
    servers: owner.nodes,
    wires,
    owner,
    harms: REDIS_HARMS,
    urlOf: (role) => `${scheme}://${hosts(wires.get(role)!)}?${parameters}`,
  });
}

/** A door for each process, since a broker tells its clients where to come back to. */
async function startKafka(): Promise<World> {
  const [port, inside, controller] = [freePort(), freePort(), freePort()];
  const doors = ROLES.map(() => freePort());
  const wires = new Map<Role, Wire[]>();
  for (const [index, role] of ROLES.entries()) wires.set(role, [await Wire.lay(doors[index]!)]);
  const advertised = ROLES.map((role) => wires.get(role)![0]!.port);
  const listeners = (ports: readonly number[]) =>
    ports.map((door, index) => `,DOOR${index}://127.0.0.1:${door}`).join("");
  const server = await kafka.start({
    port,
    inside: { port: inside, advertised: inside },
    node: { id: 1, controller },
    properties: {
      "listeners": `CLIENT://127.0.0.1:${port},INSIDE://127.0.0.1:${inside},` +
        `CONTROLLER://127.0.0.1:${controller}${listeners(doors)}`,
      "advertised.listeners": `CLIENT://127.0.0.1:${port},INSIDE://127.0.0.1:${inside}` +
        listeners(advertised),
      "listener.security.protocol.map": "CLIENT:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT" +
        doors.map((_, index) => `,DOOR${index}:PLAINTEXT`).join(""),
    },
  });
  return new World({
    servers: [server],
    wires,
    urlOf: (role) => `kafka://${hosts(wires.get(role)!)}?`,
  });
}

/** Three servers, each of which has all of the stream. */
async function natsCluster(): Promise<World> {
  const servers = await nats.startCluster();
  const wires = await lay(servers.map(({ port }) => port));
  return new World({
    servers,
    wires,
    urlOf: (role) => `nats-stream://${hosts(wires.get(role)!)}?replicas=3`,
    failover: () => nats.stepDown(servers.find(({ isRunning }) => isRunning)!, "broadcaster"),
  });
}
