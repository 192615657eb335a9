/**
 * Redis pub/sub, and what speaks its protocol.
 *
 * ## URLs
 *
 * `redis://[[user][:password]@]host[:port][/database][?prefix=…]`; `rediss://`
 * for TLS. The port is 6379 if none is named. Pub/sub knows no databases: the
 * number only matters to the server's access rules. Some parameters, and what
 * several hosts mean, are the same on `redis-stream://`:
 *
 * - `prefix` stands before each channel's name on the wire, and is never seen
 *   here: a server can be shared.
 * - `redis://a:7000,b:7001,c:7002`: several hosts are some nodes of a cluster;
 *   `cluster=true` says so of one host. The others are found.
 * - `redis://a:26379,b:26379/0?sentinel=mymaster`: the hosts are sentinels, and
 *   `sentinel` names the master that they watch. User and password are the
 *   master's; `sentinelUsername` and `sentinelPassword` those of the sentinels.
 * - `ca`, `cert` and `key` name PEM files for TLS.
 *
 * ## Delivery
 *
 * At most once, in the order in which the server received it. What is published
 * while the connection is lost is lost too, and told as a gap; so is a failover.
 * A server that finds this process too slow closes the connection
 * (`client-output-buffer-limit`): also a gap. Replication between servers may
 * lose events without notice.
 *
 * In a cluster an event goes by sharded pub/sub (`SPUBLISH`, `SSUBSCRIBE`),
 * within the node that owns the channel's slot, so other programs must use that
 * too; where the server has none, before Redis 7, by `PUBLISH`, which reaches
 * other nodes, unless it is lost between them. A node that is lost is a gap on its
 * channels alone, and so is a slot that moves. Publishing waits until every master
 * can be reached. Shards have no patterns: there a subscription to one is refused.
 *
 * ## Escape hatch
 *
 * Pass a `Redis` or a `Cluster` of ioredis as `client`: its settings are used for
 * connections of our own, and it is never used or closed itself. A cluster whose
 * nodes call themselves what does not lead there needs one, with `natMap`.
 *
 * @module
 */

import type { Redis } from "ioredis";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Payload,
  Tail,
  Target,
} from "../../core/backend/contract.ts";
import { ClosedError } from "../../core/backend/errors.ts";
import { clientsOf } from "./clients.ts";
import { Link, publishOn } from "./link.ts";
import { RedisClusterBackend } from "./pubsub/cluster.ts";
import { globOf, Subscriber } from "./subscriber.ts";

/** One connection to publish, one to subscribe, however many channels. */
export class RedisBackend implements Backend {
  /** The scheme. */
  readonly name = "redis";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = { crossProcess: true, binary: true, patterns: true };
  readonly #make: () => Redis;
  readonly #prefix: string;
  #publisher: Link | undefined;
  #subscriber: Subscriber | undefined;
  #closed = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param make Makes a client that is not connected.
   * @param prefix Stands before each channel's name on the wire.
   */
  constructor(address: string, make: () => Redis, prefix = "") {
    this.address = address;
    this.#make = make;
    this.#prefix = prefix;
  }

  /** Whether neither connection was lost. */
  get connected(): boolean {
    return !this.#publisher?.lost && !this.#subscriber?.link.lost;
  }

  /** Opens the connection to publish; the other one opens with the first tail. */
  async connect(): Promise<void> {
    if (this.#publisher?.lost) this.#publisher = undefined;
    if (this.#subscriber?.link.lost) this.#subscriber = undefined;
    this.#publisher ??= new Link(this.#client());
    await this.#publisher.ready;
  }

  /** One pipeline for what was given in one go. */
  publish(channel: string, payloads: readonly Payload[]): readonly Promise<unknown>[] {
    return publishOn(this.#publisher!, "publish", this.#prefix + channel, payloads);
  }

  /** SUBSCRIBE or PSUBSCRIBE, answered. */
  async tail(target: Target): Promise<Tail> {
    if (this.#subscriber?.link.lost) this.#subscriber = undefined;
    const subscriber = this.#subscriber ??= new Subscriber(this.#client(), {
      prefix: this.#prefix,
    });
    return typeof target === "string"
      ? await subscriber.tail("subscribe", this.#prefix + target)
      : await subscriber.tail("psubscribe", globOf(this.#prefix, target));
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#publisher?.probe(signal), this.#subscriber?.link.probe(signal)]);
  }

  /** Shuts both sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#publisher?.close(), this.#subscriber?.link.close()]);
  }

  #client(): Redis {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    return this.#make();
  }
}

/** Makes the backend of `redis://` and `rediss://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const { address: shown, make, prefix, seeds } = await clientsOf(address, options);
  return seeds
    ? new RedisClusterBackend(shown, make, seeds, prefix)
    : new RedisBackend(shown, make, prefix);
}
