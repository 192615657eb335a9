/**
 * The Redis Streams backend of a Redis Cluster.
 *
 * @module
 */

import type { Host } from "../../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  OutgoingPayload,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  ServerFacts,
  Tail,
  TailOptions,
} from "../../../core/backend/contract.ts";
import type { Once } from "../../../core/backend/idempotency_key.ts";
import type { Position } from "../../../core/backend/position.ts";
import type { Make, Seeds } from "../clients.ts";
import { Cluster, type Node, type Route } from "../cluster/cluster.ts";
import { Redirects } from "../cluster/redirects.ts";
import { slotOf } from "../cluster/slots.ts";
import { prefixed } from "../link.ts";
import { checkStream, FEATURES } from "./features.ts";
import { keyNameOf } from "./keys.ts";
import { Reader } from "./reader.ts";
import { Session } from "./session.ts";
import { type StreamOptions, type Wakes, Writer } from "./writer.ts";

/** Options for the streams of a cluster. */
export interface ClusterStreamOptions {
  /** The approximate number of entries that a stream keeps; 0 for all. */
  readonly maxlen: number;
  /** The prefix of the keys of streams. */
  readonly prefix: string;
}

/** Uses two connections for each node, as for a single server. */
export class RedisClusterStreamBackend implements Backend {
  /**
   * The same name as on a single server, so that a stream that is moved to a cluster keeps its ids.
   */
  readonly name = "redis-stream";
  /** The servers, as shown in messages. */
  readonly address: string;
  /** The features. */
  readonly features: BackendFeatures = FEATURES;
  readonly #prefix: string;
  readonly #cluster: Cluster<StreamNode>;
  readonly #redirects: Redirects<StreamNode, Position>;

  /**
   * @param address The servers, as shown in messages.
   * @param make Creates a client of a node.
   * @param seeds The nodes through which the cluster is found.
   * @param options Options for the streams.
   */
  constructor(address: string, make: Make, seeds: Seeds, options: ClusterStreamOptions) {
    this.address = address;
    this.#prefix = options.prefix;
    const wakes = new ShardWakes(() => this.#cluster.sharded);
    const streams = { maxlen: options.maxlen, wakes, keyName };
    const open = (host: Host) => new StreamNode(() => make(host), streams);
    this.#cluster = new Cluster({ make, seeds, open });
    this.#redirects = new Redirects(
      this.#cluster,
      (route, messages) => writerOf(route).publish(messages),
    );
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

  /** Checks a channel, and the options of a message. */
  check(channel: string, _payload?: Payload, options?: PayloadOptions): void {
    checkStream(channel, options, (_, once) => keyName(this.#prefix + channel, once));
  }

  /** Sends XADD to the owner of each stream's slot, and a wake after it. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position>[] {
    return this.#redirects.publish(prefixed(this.#prefix, messages));
  }

  /** Opens the tail of the stream. */
  async tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    const key = this.#prefix + channel;
    const pages = {
      read: (key: string, options: ReadOptions) => this.#read(key, options),
      end: (key: string) => this.#cluster.follow(key, (route) => readerOf(route).end(key)),
    };
    return await this.#cluster.follow(key, ({ node }) => node.tail(key, after, pages));
  }

  /** Sends XRANGE, starting at the last entry that was seen. */
  read(channel: string, options: ReadOptions): Promise<Page> {
    return this.#read(this.#prefix + channel, options);
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

  #read(key: string, options: ReadOptions): Promise<Page> {
    return this.#cluster.follow(key, (route) => readerOf(route).read(key, options));
  }
}

/** A node. It can also be asked about slots that it is importing. */
class StreamNode extends Session implements Node {
  readonly askingWriter: Writer;
  readonly askingReader: Reader;

  constructor(make: () => ReturnType<Make>, options: StreamOptions) {
    super(make, options);
    this.askingWriter = new Writer(this.commands, { ...options, asking: true });
    this.askingReader = new Reader(this.commands, { ...options, asking: true });
  }
}

function writerOf({ node, asking }: Route<StreamNode>): Writer {
  return asking ? node.askingWriter : node.writer;
}

function readerOf({ node, asking }: Route<StreamNode>): Reader {
  return asking ? node.askingReader : node.reader;
}

/** Wakes as sharded channels, in the slots of their streams. */
class ShardWakes implements Wakes {
  readonly #sharded: () => boolean;

  constructor(sharded: () => boolean) {
    this.#sharded = sharded;
  }

  get publish(): Wakes["publish"] {
    return this.#sharded() ? "spublish" : "publish";
  }

  get subscribe(): Wakes["subscribe"] {
    return this.#sharded() ? "ssubscribe" : "subscribe";
  }

  /** Wakes that are not sharded would go to all nodes. */
  get carries(): boolean {
    return this.#sharded();
  }

  /** A name with an unmatched brace cannot have a wake. A sweep finds its new entries. */
  of(channel: string): string | undefined {
    return beside(channel, (name) => `${name}:wake`);
  }
}

/** The name of a key in the slot of its stream. */
function keyName(channel: string, once: Once): string | undefined {
  return beside(channel, (name) => keyNameOf(name, once));
}

/** A name that is made of a channel's name and has the same slot, if possible. */
function beside(channel: string, make: (channel: string) => string): string | undefined {
  const slot = slotOf(channel);
  return [make(channel), make(`{${channel}}`)].find((name) => slotOf(name) === slot);
}
