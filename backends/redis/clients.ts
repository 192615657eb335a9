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
import { quote } from "../../core/util/quote.ts";
import { OPTIONS } from "./link.ts";
import type { RedisClient } from "./options.ts";
import type { Sentinels } from "./sentinel.ts";

/** Creates a client that is not connected, for the only server or for a node of a cluster. */
export type Make = (node?: Host) => Redis;

/** A server, as ioredis represents it. */
interface Server {
  readonly host: string | undefined;
  readonly port: number | undefined;
}

/** The nodes through which a cluster is found. */
export interface Seeds {
  /** Some nodes, or a name that resolves to them. */
  readonly hosts: readonly Host[];
  /** Returns the address of a node that announces itself under another one. */
  readonly locate: (node: Host) => Host;
}

/** The clients of a backend. */
export interface Clients {
  /** The servers, as shown in messages. */
  readonly address: string;
  /** Creates a client. */
  readonly make: Make;
  /** The prefix of channels at the server. */
  readonly prefix: string;
  /** The prefix that the user's client adds to keys, but not to channels. */
  readonly keyPrefix: string;
  /** The seeds of a cluster, if it is one. */
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
    return { address: String(address), prefix, ...duplicates(client) };
  }
  const { hosts, parameters, password, scheme, username } = address;
  const seeds = seedsOf(address);
  const { hostname = "localhost", port = 6379 } = hosts[0] ?? {};
  const protocol = address.choice("protocol", ["2", "3"]);
  const settings = {
    ...OPTIONS,
    db: databaseOf(address, seeds),
    family: Number(address.choice("family", ["0", "4", "6"]) ?? 0),
    connectionName: parameters.get("client_name") ?? undefined,
    ...protocol && { protocol: protocol === "2" ? 2 as const : 3 as const },
    ...username !== undefined && { username, password: "" },
    ...password !== undefined && { password },
  };
  const tls = await tlsOf(address);
  const sentinels = sentinelsOf(address, tls);
  const factory = scheme.includes("-stream") ? "redisStream" : "redis";
  const ioredis = await importClient<typeof import("ioredis")>("ioredis", `${factory}({ client })`);
  const { Redis } = ioredis;
  const Connector = sentinels && (await import("./sentinel.ts")).connectorOf(ioredis, sentinels);
  if (scheme.endsWith("+unix")) {
    const path = `/${address.path}`;
    return {
      address: `${scheme}://${path}`,
      make: () => new Redis({ ...settings, path }),
      prefix,
      keyPrefix: "",
    };
  }
  return {
    address: `${scheme}://${address.servers(sentinels ? 26379 : 6379).join(",")}`,
    make: (node = { hostname, port }) =>
      new Redis({ ...settings, ...at(node, tls), ...Connector && { Connector } }),
    prefix,
    keyPrefix: "",
    seeds,
  };
}

/** Creates clients with the settings of the user's client. */
function duplicates(client: RedisClient): Omit<Clients, "address" | "prefix"> {
  const { keyPrefix = "" } = client.options;
  if (!isCluster(client)) return { make: () => client.duplicate(OPTIONS), keyPrefix };
  const cluster = client;
  const { natMap, redisOptions = {} } = cluster.options;
  const node = cluster.nodes()[0] ?? unconnected(cluster);
  return {
    make: (host = { hostname: "localhost" }) =>
      node.duplicate({ ...OPTIONS, ...at(host, redisOptions.tls) }),
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

/**
 * A client of a cluster that has not connected, and so has no nodes to create clients from. Its pool
 * creates one that does not connect. ioredis cannot be imported for it in a bundle.
 */
function unconnected(cluster: Cluster): Redis {
  const { connectionPool } = cluster as unknown as {
    connectionPool: { createRedisFromOptions(node: RedisOptions, readOnly: boolean): Redis };
  };
  return connectionPool.createRedisFromOptions({}, false);
}

/** The initial nodes of a cluster, which are known before it connects. */
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

/**
 * Several hosts are a cluster unless they are sentinels. A single host is a cluster with
 * `cluster=true`.
 */
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

/** The database, from the path, or from `db` as in other clients. */
function databaseOf(address: Address, seeds: Seeds | undefined): number {
  const path = address.scheme.endsWith("+unix") ? "" : address.path;
  const named = address.count("db", 0);
  const database = path === "" ? named ?? 0 : Number(path);
  if (!Number.isInteger(database) || database < 0) {
    throw new TypeError(`Cannot open "${address}": database ${quote(path)} is not a number`);
  }
  if (named !== undefined && named !== database) {
    throw new TypeError(`Cannot open "${address}": the path and the parameter "db" differ`);
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

/** The values of `ssl_cert_reqs`. */
const REQUIREMENTS = ["required", "none", "optional"] as const;

/** The settings of TLS, if the scheme or a parameter asks for it. */
async function tlsOf(address: Address): Promise<RedisOptions["tls"]> {
  const { parameters, scheme } = address;
  const [file] = [...pemParameters(address), "ssl_cert_reqs"].filter((name) =>
    parameters.has(name)
  );
  const isSecure = scheme.startsWith("rediss");
  let isTls = isSecure;
  for (const name of ["tls", "ssl"]) {
    const value = address.choice(name, ["true", "false"]);
    if (isSecure && value === "false") {
      throw new TypeError(
        `Cannot open "${address}": the scheme is for TLS, and parameter ${quote(name)} is false`,
      );
    }
    isTls ||= value === "true";
  }
  if (isTls) {
    const required = address.choice("ssl_cert_reqs", REQUIREMENTS);
    return { ...await readPem(address), ...required === "none" && { rejectUnauthorized: false } };
  }
  if (file === undefined) return undefined;
  throw new TypeError(
    `Cannot open "${address}": parameter ${quote(file)} needs TLS, use ${
      scheme.replace("redis", "rediss")
    }://`,
  );
}

/** The settings for one server. */
function at({ hostname, port = 6379 }: Host, tls: RedisOptions["tls"]) {
  // Deno refuses an IP address as a server name.
  const named = tls && !isIP(hostname) ? { servername: hostname, ...tls } : tls;
  return { host: hostname, port, ...named && { tls: named } };
}
