/**
 * The connections of a Redis URL: to one server, through Sentinel, or to a cluster.
 *
 * @module
 */

import { isIP } from "node:net";
import type { Cluster, Redis, RedisOptions } from "ioredis";
import { Address, type Host } from "../../core/backend/address.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { OPTIONS } from "./link.ts";
import type { RedisClient } from "./options.ts";
import { connectorOf, type Sentinels } from "./sentinel.ts";

/** Makes a client that is not connected: of the only server, or of a node of a cluster. */
export type Make = (node?: Host) => Redis;

/** A server, as ioredis has it. */
interface Server {
  readonly host: string | undefined;
  readonly port: number | undefined;
}

/** Where a cluster is found. */
export interface Seeds {
  /** Some of its nodes, or a name that resolves to them. */
  readonly hosts: readonly Host[];
  /** The address of a node that announces itself under another one. */
  readonly locate: (node: Host) => Host;
}

/** Where a backend's connections lead. */
export interface Clients {
  /** As it appears in messages. */
  readonly address: string;
  /** Makes a client. */
  readonly make: Make;
  /** The prefix of channels at the server. */
  readonly prefix: string;
  /** What the user's client puts before keys, but not before channels. */
  readonly keyPrefix: string;
  /** Present for a cluster. */
  readonly seeds?: Seeds | undefined;
}

/**
 * The clients of a URL, or duplicates of the user's client.
 *
 * @param address The URL.
 * @param client The user's client.
 */
export async function clientsOf(
  address: Address,
  client: RedisClient | undefined,
): Promise<Clients> {
  const prefix = address.parameters.get("prefix") ?? "";
  if (client !== undefined) {
    return { address: String(address), prefix, ...await duplicates(client) };
  }
  const seeds = seedsOf(address);
  const { hostname = "localhost", port = 6379 } = address.hosts[0] ?? {};
  const settings = {
    ...OPTIONS,
    db: databaseOf(address, seeds),
    ...address.username !== undefined && { username: address.username },
    ...address.password !== undefined && { password: address.password },
  };
  const tls = await tlsOf(address);
  const sentinels = sentinelsOf(address, tls);
  const factory = address.scheme.endsWith("-stream") ? "redisStream" : "redis";
  const ioredis = await importClient<typeof import("ioredis")>("ioredis", `${factory}({ client })`);
  const { Redis } = ioredis;
  const Connector = sentinels && connectorOf(ioredis, sentinels);
  return {
    address: `${address.scheme}://${address.servers(sentinels ? 26379 : 6379).join(",")}`,
    make: (node = { hostname, port }) =>
      new Redis({ ...settings, ...at(node, tls), ...Connector && { Connector } }),
    prefix,
    keyPrefix: "",
    seeds,
  };
}

/** Clients with the settings of the user's client. */
async function duplicates(
  client: RedisClient,
): Promise<Omit<Clients, "address" | "prefix">> {
  const { keyPrefix = "" } = client.options;
  if (!isCluster(client)) return { make: () => client.duplicate(OPTIONS), keyPrefix };
  const cluster = client;
  const { natMap, redisOptions = {} } = cluster.options;
  // A cluster that has not connected has no nodes that a client could be made of.
  const [node] = cluster.nodes();
  const { Redis } = node ? {} : await importClient<typeof import("ioredis")>("ioredis");
  return {
    make: (host = { hostname: "localhost" }) => {
      const options = { ...OPTIONS, ...at(host, redisOptions.tls) };
      return node?.duplicate(options) ?? new Redis!({ ...redisOptions, ...options });
    },
    keyPrefix,
    seeds: {
      hosts: cluster.nodes().length > 0
        ? cluster.nodes().map(({ options }) => hostOf(options))
        : startupNodes(cluster),
      locate: (host) => {
        const name = `${host.hostname}:${host.port}`;
        const outside = typeof natMap === "function" ? natMap(name) : natMap?.[name];
        return outside ? hostOf(outside) : host;
      },
    },
  };
}

function isCluster(client: RedisClient): client is Cluster {
  return client.isCluster;
}

/** The nodes that a cluster was given, which it knows before it has connected. */
function startupNodes(cluster: Cluster): Host[] {
  const { startupNodes } = cluster as unknown as {
    startupNodes: readonly (string | number | Partial<Server>)[];
  };
  return startupNodes.map((node) => {
    if (typeof node === "number") return hostOf({ port: node });
    if (typeof node === "object") return hostOf(node);
    const [host] = new Address(node.includes("://") ? node : `redis://${node}`).hosts;
    return host ?? hostOf({});
  });
}

function hostOf({ host = "127.0.0.1", port = 6379 }: Partial<Server>): Host {
  return { hostname: host, port };
}

/** Several hosts are a cluster unless they are sentinels; a single one with `cluster=true`. */
function seedsOf(address: Address): Seeds | undefined {
  const isCluster = address.choice("cluster", ["true", "false"]);
  const isSentinel = address.parameters.has("sentinel");
  if (isCluster === "true" ? isSentinel : isCluster === "false" && address.hosts.length > 1) {
    throw new TypeError(
      `Cannot open "${address}": several hosts are a cluster, or sentinels with sentinel=<name of the master>`,
    );
  }
  if (isSentinel || address.hosts.length < 2 && isCluster !== "true") return undefined;
  const hosts = address.hosts.length > 0 ? address.hosts : [{ hostname: "localhost" }];
  return { hosts, locate: (node) => node };
}

function databaseOf(address: Address, seeds: Seeds | undefined): number {
  const database = address.path === "" ? 0 : Number(address.path);
  if (!Number.isInteger(database) || database < 0) {
    throw new TypeError(`Cannot open "${address}": database "${address.path}" is not a number`);
  }
  if (seeds && database > 0) {
    throw new TypeError(`Cannot open "${address}": a cluster has only the database 0`);
  }
  return database;
}

/** The sentinels, if the hosts are sentinels. */
function sentinelsOf(address: Address, tls: RedisOptions["tls"]): Sentinels | undefined {
  const { hosts, parameters } = address;
  const master = parameters.get("sentinel");
  const [username, password] = ["sentinelUsername", "sentinelPassword"]
    .map((parameter) => parameters.get(parameter));
  if (master === null) {
    if (username === null && password === null) return undefined;
    throw new TypeError(
      `Cannot open "${address}": sentinelUsername and sentinelPassword need sentinel=<name of the master>`,
    );
  }
  if (master === "") throw address.invalid("sentinel", master, "the name of a master");
  return {
    hosts: hosts.length > 0 ? hosts : [{ hostname: "localhost" }],
    master,
    settings: { ...username && { username }, ...password && { password }, ...tls && { tls } },
  };
}

/** The TLS files, if the scheme has TLS. */
async function tlsOf(address: Address): Promise<RedisOptions["tls"]> {
  const { scheme } = address;
  if (!scheme.startsWith("rediss")) {
    const [file] = pemParameters(address);
    if (file === undefined) return undefined;
    throw new TypeError(
      `Cannot open "${address}": parameter "${file}" needs TLS, use ${
        scheme.replace("redis", "rediss")
      }://`,
    );
  }
  return await readPem(address);
}

/** The settings for one server. */
function at({ hostname, port = 6379 }: Host, tls: RedisOptions["tls"]) {
  // Deno refuses an IP address as a server name.
  const named = tls && !isIP(hostname) ? { servername: hostname, ...tls } : tls;
  return { host: hostname, port, ...named && { tls: named } };
}
