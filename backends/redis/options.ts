/**
 * The options of the Redis backends.
 *
 * @module
 */

import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import type { Names } from "../../core/util/known_options.ts";

/** A `Redis` or a `Cluster` of ioredis. */
export type RedisClient = InstanceType<(typeof import("ioredis"))["Redis" | "Cluster"]>;

/** Options for a Redis backend. */
export interface RedisOptions extends SourceOptions {
  /**
   * A client of ioredis, `Redis` or `Cluster`. The backend opens its own connections with the
   * settings of this client, and never uses or closes the client itself. The client then determines
   * the servers, the credentials, the cluster, the sentinels and the TLS files, whatever else is
   * given.
   */
  readonly client?: RedisClient | undefined;
  /**
   * Prefix of the names of channels at the server, invisible to publishers and subscribers.
   *
   * @default {""}
   */
  readonly prefix?: string | undefined;
  /**
   * Whether the host of the URL is a node of a cluster. Several hosts always are, unless they are
   * sentinels.
   *
   * @default {false}
   */
  readonly cluster?: boolean | undefined;
  /** The name of the master, if the hosts of the URL are sentinels. */
  readonly sentinel?: string | undefined;
  /** The user name at the sentinels. */
  readonly sentinelUsername?: string | undefined;
  /** The password at the sentinels. */
  readonly sentinelPassword?: string | undefined;
  /** Path of a PEM file with the certificate authorities to trust, for TLS. */
  readonly ca?: string | undefined;
  /** Path of a PEM file with the certificate of this client, for TLS. */
  readonly cert?: string | undefined;
  /** Path of a PEM file with the key of that certificate. */
  readonly key?: string | undefined;
}

/** The names of `RedisOptions`. */
export const REDIS_OPTIONS: Names<RedisOptions> = {
  url: true,
  client: true,
  prefix: true,
  cluster: true,
  sentinel: true,
  sentinelUsername: true,
  sentinelPassword: true,
  ca: true,
  cert: true,
  key: true,
};

const NODE_REDIS = "a client of node-redis, the package `redis`";

/**
 * Checks that a client, if given, is one of ioredis.
 *
 * @throws {TypeError} If the client is not one. The message says what was given.
 */
export function checkRedis(client: unknown): void {
  if (client === undefined) return;
  checkClient(client, {
    wanted: "a client of ioredis, such as new Redis(url) or new Cluster(nodes)",
    methods: ["duplicate", "pipeline", "multi", "callBuffer", "publish", "subscribe"],
    mistaken: [
      { name: NODE_REDIS, has: ["pSubscribe"] },
      { name: NODE_REDIS, has: ["withTypeMapping"] },
      { name: NODE_REDIS, has: ["internal_send_command"] },
      { name: "the package `redis`", has: ["createClient", "createCluster"] },
    ],
  });
}
