/**
 * Redis pub/sub, also on servers that are compatible with Redis.
 *
 * ## URLs
 *
 * `redis://[[user][:password]@]host[:port][/database][?prefix=…]`, or `rediss://` for TLS. The
 * default port is 6379. Pub/sub ignores the database, except that access rules may depend on it.
 * `redis+unix://[[user][:password]@]/path/of/socket[?db=…]` leads to a Unix socket. These
 * parameters, and several hosts, have the same meaning for `redis-stream://`:
 *
 * - `prefix` is added before each channel's name at the server, and is invisible to publishers and
 *   subscribers. So several applications can share a server.
 * - `redis://a:7000,b:7001,c:7002`: several hosts are nodes of a cluster. `cluster=true` marks a
 *   single host as one. The other nodes are found.
 * - `redis://a:26379,b:26379/0?sentinel=mymaster`: the hosts are sentinels, and `sentinel` is the
 *   name of the master that they watch. User and password are for the master;
 *   `sentinelUsername` and `sentinelPassword` are for the sentinels.
 * - `ca`, `cert` and `key` are paths of PEM files for TLS.
 * - Names of other clients: `db` for the database, `family` (`0`, `4` or `6`) for the IP version,
 *   `protocol` (`2` or `3`) for the RESP version, `client_name`, `tls=true` or `ssl=true` for TLS,
 *   and `ssl_cert_reqs=none`, which accepts any certificate.
 * - Parameters for pools, timeouts, retries and decoding are ignored: `allowUsernameInURI`,
 *   `connectTimeout`, `connect_timeout`, `conn_max_idle_time`, `conn_max_lifetime`,
 *   `decode_responses`, `dial_timeout`, `enableReadyCheck`, `encoding`, `encoding_errors`,
 *   `health_check_interval`, `idle_timeout`, `keepAlive`, `lazyConnect`, `maxRetriesPerRequest`,
 *   `max_connections`, `max_idle_conns`, `max_retries`, `max_retry_backoff`, `min_idle_conns`,
 *   `min_retry_backoff`, `pool_fifo`, `pool_size`, `pool_timeout`, `read_timeout`,
 *   `retry_on_error`, `retry_on_timeout`, `socket_connect_timeout`, `socket_keepalive`,
 *   `socket_timeout`, `write_timeout`. All others are rejected.
 *
 * ## Permissions
 *
 * On Deno, the client needs `--allow-env`, and `--allow-net=host:port` for each server, sentinel
 * and node, as the URL or the cluster names it. A Unix socket needs `--allow-net=unix:<path>`, and
 * `--allow-read` and `--allow-write` with its path. PEM files need `--allow-read` with their paths.
 *
 * At the server, a user needs `+publish`, `+subscribe`, `+unsubscribe`, for patterns `+psubscribe`
 * and `+punsubscribe`, and the channels; in a cluster `+spublish`, `+ssubscribe`, `+sunsubscribe`,
 * `+cluster|info`, `+cluster|slots` and `+command|info`. If a right is missing, a call is refused.
 * If it is revoked, the subscriptions that need it end.
 *
 * Each process subscribes to its own channel, `<prefix>broadcaster-loopback:….-control`, and
 * publishes to it from time to time. If a message does not come back, the process knows that its
 * subscriptions receive nothing. Without a right to `broadcaster-loopback:*`, this is not noticed.
 *
 * ## Delivery
 *
 * Events arrive at most once, in the order in which the server received the messages. Messages that
 * are published while the connection of a subscriber is lost do not reach it. It gets a gap, and
 * also after a failover. A server closes the connections of slow subscribers
 * (`client-output-buffer-limit`), which also causes a gap. Replication between servers may lose
 * events without notice. Each probe asks for the role of the server. If a master has become a
 * replica, there is a gap, and messages that are published there in the meantime reach only its own
 * subscribers. A replica can be subscribed to. Publishing waits for a master.
 *
 * A cluster uses sharded pub/sub (`SPUBLISH`, `SSUBSCRIBE`) at the node that owns the channel's
 * slot. Other programs have to use the same commands. Clusters before Redis 7 lack sharded pub/sub:
 * their `PUBLISH` reaches all nodes, unless a message is lost between them. A lost node, or a slot
 * that moves, causes a gap only on its channels. Publishing waits until every master can be
 * reached. Sharded pub/sub has no patterns, so they are refused in a cluster.
 *
 * ## Escape hatch
 *
 * Use {@linkcode redis} with a `Redis` or a `Cluster` of ioredis. The backend's own connections use
 * its settings. The client itself is never used or closed. A cluster whose nodes announce addresses
 * that cannot be reached from here needs a client with `natMap`.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { redis } from "@broadcaster/broadcaster/redis";
 * import { Redis } from "ioredis";
 *
 * const client = new Redis("redis://localhost:6379", { lazyConnect: true });
 * const broadcast = new Broadcast(redis({ client, prefix: "app:" }));
 * ```
 *
 * @module
 */

import type { Redis } from "ioredis";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  ServerFacts,
  Tail,
  Target,
} from "../../core/backend/contract.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import { clientsOf } from "./clients.ts";
import { factsOf } from "./facts.ts";
import { Link, prefixed, publishOn } from "./link.ts";
import { checkRedis, REDIS_OPTIONS, type RedisClient, type RedisOptions } from "./options.ts";
import { type Echo, HeardSubscriber } from "./pubsub/heard_subscriber.ts";
import { globOf } from "./subscriber.ts";

export type { RedisClient, RedisOptions } from "./options.ts";

/**
 * Redis pub/sub, for `new Broadcast()`.
 *
 * @param options The URL, or a client of ioredis, and the parameters of the URL.
 * @throws {TypeError} If the client is not one of ioredis, or the URL is malformed.
 *
 * @example
 * ```ts
 * import { redis } from "@broadcaster/broadcaster/redis";
 *
 * const source = redis({ url: "redis://localhost:6379", prefix: "app:" });
 * ```
 */
export function redis(options: RedisOptions = {}): BackendSource {
  const { url, client, ...parameters } = checkOptions("redis", options, REDIS_OPTIONS);
  checkRedis(client);
  return sourceOf({
    schemes: ["redis", "rediss", "redis+unix"],
    url,
    parameters,
    open: (address) => open(address, client),
  });
}

/**
 * Opens the backend of `redis://` and `rediss://`.
 *
 * @param address The URL.
 * @param client A client of ioredis, whose settings replace the servers of the URL.
 */
export async function open(address: Address, client?: RedisClient): Promise<Backend> {
  const { address: shown, make, prefix, seeds } = await clientsOf(address, client);
  if (!seeds) return new RedisBackend(shown, make, prefix);
  const { RedisClusterBackend } = await import("./pubsub/cluster.ts");
  return new RedisClusterBackend(shown, make, seeds, prefix);
}

/** The commands for tokens on a single server. */
const ECHO: Echo = { kind: "subscribe", command: "publish", isHere: () => true };

/** Uses one connection to publish and one to subscribe, for any number of channels. */
class RedisBackend implements Backend {
  readonly name = "redis";
  readonly address: string;
  readonly features: BackendFeatures = { crossProcess: true, binary: true, patterns: true };
  readonly #prefix: string;
  readonly #publisher: RenewedConnection<Link>;
  readonly #subscriber: RenewedConnection<HeardSubscriber>;

  /**
   * @param address The servers, as shown in messages.
   * @param make Creates a client, without connecting it.
   * @param prefix The prefix of channels at the server.
   */
  constructor(address: string, make: () => Redis, prefix: string) {
    this.address = address;
    this.#prefix = prefix;
    this.#publisher = new RenewedConnection(() => Promise.resolve(new Link(make())));
    const publisher = () => this.#publisher.current!;
    const options = { prefix, publisher, echo: () => ECHO, memory: { wasProven: false } };
    this.#subscriber = new RenewedConnection(() =>
      Promise.resolve(new HeardSubscriber(make(), options))
    );
  }

  get connected(): boolean {
    return !this.#publisher.lost && !this.#subscriber.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#publisher.count + this.#subscriber.count;
  }

  /** Opens the connection to publish. The other one is opened with the first tail. */
  async connect(): Promise<void> {
    await this.#publisher.renew();
    if (this.#subscriber.lost) await this.#subscriber.renew();
    await Promise.all([this.#publisher.current!.ready, this.#subscriber.current?.ready]);
  }

  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return publishOn(this.#publisher.current!, "publish", prefixed(this.#prefix, messages));
  }

  /** Resolves once SUBSCRIBE or PSUBSCRIBE was answered. */
  async tail(target: Target): Promise<Tail> {
    await this.#subscriber.renew();
    const subscriber = this.#subscriber.current!;
    return typeof target === "string"
      ? await subscriber.tail("subscribe", this.#prefix + target)
      : await subscriber.tail("psubscribe", globOf(this.#prefix, target));
  }

  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#publisher.current?.probe(signal),
      this.#subscriber.current?.probe(signal),
    ]);
  }

  async describe(): Promise<ServerFacts> {
    return await factsOf(this.#publisher.current!);
  }

  async close(): Promise<void> {
    await Promise.all([this.#publisher.close(), this.#subscriber.close()]);
  }
}
