/**
 * The Redis pub/sub backend of a Redis Cluster.
 *
 * @module
 */

import type { Host } from "../../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  OutgoingPayload,
  ServerFacts,
  Tail,
  Target,
} from "../../../core/backend/contract.ts";
import type { Make, Seeds } from "../clients.ts";
import { Cluster, type Node } from "../cluster/cluster.ts";
import { Redirects } from "../cluster/redirects.ts";
import { lostError } from "../errors.ts";
import { Link, prefixed, publishOn } from "../link.ts";
import { type Echo, type HeardOptions, HeardSubscriber } from "./heard_subscriber.ts";

/**
 * Uses one connection for each node to publish, and another one to subscribe, which the first tail
 * opens.
 */
export class RedisClusterBackend implements Backend {
  /** Not the scheme, since its ids differ from those of a single server. */
  readonly name = "redis-cluster";
  /** The servers, as shown in messages. */
  readonly address: string;
  /** The features. */
  readonly features: BackendFeatures = { crossProcess: true, binary: true };
  readonly #prefix: string;
  readonly #cluster: Cluster<PubSubNode>;
  readonly #redirects: Redirects<PubSubNode, undefined>;
  /**
   * Whether a slot has moved since the masters were found. They are then found again, since a node
   * that became a replica still accepts subscriptions.
   */
  #stale = false;

  /**
   * @param address The servers, as shown in messages.
   * @param make Creates a client of a node.
   * @param seeds The nodes through which the cluster is found.
   * @param prefix The prefix of channels at the server.
   */
  constructor(address: string, make: Make, seeds: Seeds, prefix = "") {
    this.address = address;
    this.#prefix = prefix;
    const memory = { wasProven: false };
    const open = (host: Host) => {
      const node: PubSubNode = new PubSubNode(() => make(host), {
        prefix,
        memory,
        onMoved: () => this.#stale = true,
        echo: () => this.#echo(node),
      });
      return node;
    };
    this.#cluster = new Cluster({ make, seeds, open });
    this.#redirects = new Redirects(this.#cluster, ({ node }, messages) => {
      const command = this.#cluster.sharded ? "spublish" : "publish";
      return publishOn(node.commands, command, messages);
    });
  }

  /** `false` once a connection was lost. */
  get connected(): boolean {
    return this.#cluster.connected;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#cluster.connections;
  }

  /** Finds the masters, and opens a connection to each. */
  async connect(): Promise<void> {
    await this.#cluster.connect();
  }

  /** Sends SPUBLISH to the owner of each channel's slot. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return this.#redirects.publish(prefixed(this.#prefix, messages));
  }

  /** Sends SSUBSCRIBE to the owner of the channel's slot. */
  async tail(target: Target): Promise<Tail> {
    if (this.#stale) {
      await this.#cluster.update();
      this.#stale = false;
    }
    const name = `${this.#prefix}${target}`;
    const kind = this.#cluster.sharded ? "ssubscribe" : "subscribe";
    return await this.#cluster.follow(name, ({ node }) => node.subscriber.tail(kind, name));
  }

  /** Sends PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#cluster.probe(signal);
  }

  /** Facts about the server. */
  async describe(): Promise<ServerFacts> {
    return await this.#cluster.describe();
  }

  /** Closes all sockets. */
  async close(): Promise<void> {
    await this.#cluster.close();
  }

  /** The commands for tokens on a node. */
  #echo(node: PubSubNode): Echo {
    return this.#cluster.sharded
      ? {
        kind: "ssubscribe",
        command: "spublish",
        isHere: (name) => this.#cluster.owns(node, name),
      }
      : { kind: "subscribe", command: "publish", isHere: () => true };
  }
}

/** Options for the connections to one node. */
type NodeOptions = Omit<HeardOptions, "publisher">;

/** The connections to one node. */
class PubSubNode implements Node {
  readonly commands: Link;
  readonly #make: Make;
  readonly #options: NodeOptions;
  #subscriber: HeardSubscriber | undefined;
  #closed = false;

  constructor(make: Make, options: NodeOptions) {
    this.#make = make;
    this.#options = options;
    this.commands = new Link(make());
  }

  get lost(): boolean {
    return this.commands.lost || this.#subscriber?.lost === true;
  }

  get connections(): number {
    return Number(!this.commands.lost) + Number(this.#subscriber?.lost === false);
  }

  get subscriber(): HeardSubscriber {
    if (this.#closed) throw lostError();
    return this.#subscriber ??= new HeardSubscriber(this.#make(), {
      ...this.#options,
      publisher: () => this.commands,
    });
  }

  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.commands.probe(signal), this.#subscriber?.probe(signal)]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.commands.close(), this.#subscriber?.close()]);
  }
}
