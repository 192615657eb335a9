/**
 * The connections of a Redis URL: to one server, through Sentinel, or to a cluster.
 *
 * @module
 */

import { isIP } from "node:net";
import type { Cluster, Redis, RedisOptions } from "ioredis";
import { Address, type Host } from "../../core/backend/address.ts";
import type { BackendOptions } from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { OPTIONS } from "./link.ts";
import { connectorOf, type Sentinels } from "./sentinel.ts";

/** Makes a client that is not connected: of the one server there is, or of a node of a cluster. */
export type Make = (node?: Host) => Redis;

/** A server as ioredis has it. */
interface Server {
  readonly host: string | undefined;
  readonly port: number | undefined;
}

/** Where a cluster is found. */
export interface Seeds {
  /** Some of its nodes, or a name behind which they are. */
  readonly hosts: readonly Host[];
  /** Where a node is reached that calls itself so. */
  readonly locate: (node: Host) => Host;
}

/** Where a backend's connections lead. */
export interface Clients {
  /** As it appears in messages. */
  readonly address: string;
  /** Makes a client. */
  readonly make: Make;
  /** Stands before each channel's name on the wire. */
  readonly prefix: string;
  /** What a client of the user's puts before keys, but not before channels. */
  readonly keyPrefix: string;
  /** If it is a cluster. */
  readonly seeds?: Seeds | undefined;
}

/** The clients of a URL, or duplicates of the one that the user has. */
export async function clientsOf(address: Address, { client }: BackendOptions): Promise<Clients> {
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
  const ioredis = await importClient<typeof import("ioredis")>("ioredis");
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

/** Connections as a client of the user's has them. */
async function duplicates(client: unknown): Promise<Omit<Clients, "address" | "prefix">> {
  const { duplicate, isCluster, options } = Object(client) as {
    duplicate?: unknown;
    isCluster?: boolean;
    options?: { keyPrefix?: string };
  };
  if (typeof duplicate !== "function") {
    throw new TypeError("Cannot use client: it is neither a `Redis` nor a `Cluster` of ioredis");
  }
  const keyPrefix = options?.keyPrefix ?? "";
  if (!isCluster) return { make: () => (client as Redis).duplicate(OPTIONS), keyPrefix };
  const cluster = client as Cluster;
  const { natMap, redisOptions = {} } = cluster.options;
  // Before it has connected it has no nodes, and nothing else that a connection could be made of.
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

/** What a cluster was given to begin with, where it has not looked around yet. */
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

/** Several servers are a cluster, unless they are sentinels; so is one that is said to be. */
function seedsOf(address: Address): Seeds | undefined {
  const isCluster = address.choice("cluster", ["true", "false"]);
  const isSentinel = address.parameters.has("sentinel");
  if (isCluster === "true" ? isSentinel : isCluster === "false" && address.hosts.length > 1) {
    throw new TypeError(
      `Cannot open "${address}": several hosts are a cluster, or with sentinel=<name of the master> its sentinels`,
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

/** The sentinels, if the hosts are some. */
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

/** What TLS needs, where the scheme asks for it. */
async function tlsOf(address: Address): Promise<RedisOptions["tls"]> {
  const { scheme } = address;
  if (!scheme.startsWith("rediss")) {
    const [file] = pemParameters(address);
    if (file === undefined) return undefined;
    throw new TypeError(
      `Cannot open "${address}": parameter "${file}" is for TLS, which is ${
        scheme.replace("redis", "rediss")
      }://`,
    );
  }
  return await readPem(address);
}

/** The settings of one server. */
function at({ hostname, port = 6379 }: Host, tls: RedisOptions["tls"]) {
  // An IP address is no server name: Deno refuses it.
  const named = tls && !isIP(hostname) ? { servername: hostname, ...tls } : tls;
  return { host: hostname, port, ...named && { tls: named } };
}
