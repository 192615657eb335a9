/**
 * The Redis pub/sub backend of a Redis Cluster.
 *
 * @module
 */

import type { Host } from "../../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  Payload,
  Tail,
  Target,
} from "../../../core/backend/contract.ts";
import { ConnectionError } from "../../../core/backend/errors.ts";
import type { Make, Seeds } from "../clients.ts";
import { Cluster, type Node } from "../cluster/cluster.ts";
import { Redirects } from "../cluster/redirects.ts";
import { Link, publishOn } from "../link.ts";
import { Subscriber } from "../subscriber.ts";

/** For each node one connection to publish, and with the first tail one to subscribe. */
export class RedisClusterBackend implements Backend {
  /** Not the scheme: its ids are none of a single server's. */
  readonly name = "redis-cluster";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = { crossProcess: true, binary: true };
  readonly #prefix: string;
  readonly #cluster: Cluster<PubSubNode>;
  readonly #lanes: Redirects<PubSubNode, unknown>;
  /** Whether a slot has moved since it has looked around: a replica would serve its channels. */
  #stale = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param make Makes a client of a node.
   * @param seeds Where the cluster is found.
   * @param prefix Stands before each channel's name on the wire.
   */
  constructor(address: string, make: Make, seeds: Seeds, prefix = "") {
    this.address = address;
    this.#prefix = prefix;
    const onMoved = () => this.#stale = true;
    const open = (host: Host) => new PubSubNode(() => make(host), onMoved);
    this.#cluster = new Cluster({ make, seeds, open });
    this.#lanes = new Redirects(this.#cluster, ({ node }, channel, payloads) => {
      const command = this.#cluster.sharded ? "spublish" : "publish";
      return publishOn(node.commands, command, channel, payloads);
    });
  }

  /** Whether no connection was lost. */
  get connected(): boolean {
    return this.#cluster.connected;
  }

  /** Finds the masters, and opens a connection to each. */
  async connect(): Promise<void> {
    await this.#cluster.connect();
  }

  /** SPUBLISH, at the owner of the channel's slot. */
  publish(channel: string, payloads: readonly Payload[]): readonly Promise<unknown>[] {
    return this.#lanes.publish(this.#prefix + channel, payloads);
  }

  /** SSUBSCRIBE, there too. */
  async tail(target: Target): Promise<Tail> {
    if (this.#stale) {
      await this.#cluster.update();
      this.#stale = false;
    }
    const name = `${this.#prefix}${target}`;
    const kind = this.#cluster.sharded ? "ssubscribe" : "subscribe";
    return await this.#cluster.follow(name, ({ node }) => node.subscriber.tail(kind, name));
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#cluster.probe(signal);
  }

  /** Shuts all sockets. */
  async close(): Promise<void> {
    await this.#cluster.close();
  }
}

/** The connections to one node. */
class PubSubNode implements Node {
  readonly commands: Link;
  readonly #make: Make;
  readonly #onMoved: () => void;
  #subscriber: Subscriber | undefined;
  #closed = false;

  constructor(make: Make, onMoved: () => void) {
    this.#make = make;
    this.#onMoved = onMoved;
    this.commands = new Link(make());
  }

  get lost(): boolean {
    return this.commands.lost || this.#subscriber?.link.lost === true;
  }

  get subscriber(): Subscriber {
    if (this.#closed) throw new ConnectionError("the connection to the node is closed");
    return this.#subscriber ??= new Subscriber(this.#make(), { onMoved: this.#onMoved });
  }

  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.commands.probe(signal), this.#subscriber?.link.probe(signal)]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.commands.close(), this.#subscriber?.link.close()]);
  }
}
