/**
 * Apache Kafka: a topic per channel, read without a consumer group.
 *
 * @example
 * ```ts
 * import { kafka } from "@broadcaster/broadcaster/kafka";
 *
 * const backend = kafka({ url: "kafka://a:9092,b:9092", replication: 3 });
 * ```
 *
 * ## URLs
 *
 * `kafka://[user:password@]host[:port][,host[:port]…][?parameters]`. The default port is 9092.
 *
 * | parameter | |
 * |---|---|
 * | `sasl` | `plain`, `scram-sha-256` or `scram-sha-512`; by default `plain` if the URL has a user |
 * | `tls` | `true` or `false`, the default |
 * | `ca` | path of a PEM file with the authorities to trust; implies TLS, as do the next two |
 * | `cert`, `key` | paths of PEM files with the client's own certificate and its key |
 * | `clientId` | the name in the brokers' logs, `broadcaster` by default |
 * | `create` | `false` refuses channels without a topic instead of creating it |
 * | `replication` | replication factor of the topics that are created; the broker's default |
 * | `security_protocol`, `sasl_mechanism` | as in other clients, also with a dot: `SASL_SSL`, `PLAIN` |
 *
 * The files are read again for each connection, since certificates are renewed.
 *
 * A channel has 1 to 249 of the characters `A-Z a-z 0-9 . _ -`. Brokers accept only one of the
 * names that differ only in `.` and `_`. A missing topic is created, with one partition.
 *
 * ## Delivery
 *
 * The topic is the log. A tail that is opened again continues after the last event in every
 * partition, so nothing is lost while the broker stores it. If an unclean leader election loses
 * events, only subscribers that had seen them get a gap. There is a gap if retention, compaction or
 * `DeleteRecords` removed events before they were read, or if a topic was deleted and created
 * again. Only the partition that was set back is read again from its start. `missed` is not known,
 * since offsets also count the markers of transactions. If compaction removed the last record that
 * was read, there is a gap although nothing may be missing. A slow reader loses nothing else: its
 * records wait on the broker. If a partition changes its leader while a message is sent, the
 * message may or may not be published.
 *
 * An id has the offsets of all partitions, each with the time of its record, and room for 43
 * partitions. A channel with more partitions can be published to, but not read or subscribed to by
 * its name. `publish()` knows the id on topics of one partition. A recreated topic is not noticed
 * if it has as many events, with the same time at the same offset. It is also not noticed if the
 * last place was never read, as at the start of a subscription.
 *
 * The key of every event is its channel, so Java and Python publishers choose the same partition
 * for that key. Order is total on a topic of one partition, and per partition on others. History
 * merges partitions by the time of their records. All partitions are read. Partitions that are
 * added later are read from their start, within half a minute. Records without a value are skipped.
 * Records of open or aborted transactions are not skipped, as in other clients by default. kafkajs
 * decompresses gzip. A tail that meets another codec ends, unless `CompressionCodecs` of kafkajs
 * has it.
 *
 * Headers are record headers, each with the UTF-8 of its text. In records of other programs, a
 * repeated name has its last value, and values that are `null` or not UTF-8 are left out. Headers
 * count towards `max.message.bytes` of the topic.
 *
 * A pattern reads all matching topics from their ends. Topics are listed once a second, or less
 * often if listing takes more than a twentieth of the time. A new topic is read from its start, so
 * nothing of it is lost. A topic that this process creates is found at once. A deleted topic leaves
 * no gap, unless events of it may not have been read. A topic that the user may not read ends the
 * subscription. Topics that the user may not describe do not match, and neither do the brokers' own
 * topics, which start with `__`. A pattern has no position, so a lost connection is a gap in it.
 *
 * ## Escape hatch
 *
 * Pass your own client of kafkajs 2.2.4 for settings that the URL does not have. This backend does
 * not use its connections, but opens others with the same configuration. On Deno, kafkajs needs
 * `--allow-net` and `--allow-env`.
 *
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { kafka } from "@broadcaster/broadcaster/kafka";
 * import { Kafka } from "kafkajs";
 *
 * const client = new Kafka({ brokers: ["a:9092"], connectionTimeout: 5_000 });
 * const broadcast = new Broadcast(kafka({ client }));
 * await broadcast.disconnect();
 * ```
 *
 * @module
 */

import type { KafkaConfig } from "kafkajs";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  ServerFacts,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { ConnectionError } from "../../core/backend/errors.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, sourceOf, type SourceOptions } from "../../core/backend/kit/source.ts";
import type { Position } from "../../core/backend/position.ts";
import { onAbort } from "../../core/util/abort.ts";
import type { Names } from "../../core/util/known_options.ts";
import { Cluster } from "./cluster.ts";
import { closedError } from "./errors.ts";
import { factsOf } from "./facts.ts";
import {
  type ClusterFactory,
  clusterFactory,
  configuration,
  createClient,
  load,
  seeds,
} from "./kafkajs.ts";
import { checkRecord } from "./log/limits.ts";
import { readPage } from "./log/page.ts";
import { Reader } from "./log/reader.ts";
import { Writer } from "./log/writer.ts";
import { checkName } from "./topics.ts";

/** A client of kafkajs: `new Kafka({ brokers })`. */
export type KafkaClient = InstanceType<(typeof import("kafkajs"))["Kafka"]>;

/** Options for `kafka()`. */
export interface KafkaOptions extends SourceOptions {
  /**
   * A client of kafkajs 2.2.4, for settings that are not listed here. Its servers, TLS, SASL and
   * name apply, instead of those of the URL and of these options. The client is not closed.
   */
  readonly client?: KafkaClient | undefined;
  /**
   * How to authenticate the user of the URL.
   *
   * @default {"plain"} if the URL has a user
   */
  readonly sasl?: "plain" | "scram-sha-256" | "scram-sha-512" | undefined;
  /**
   * Whether to connect with TLS.
   *
   * @default {false} unless `ca`, `cert` or `key` is given
   */
  readonly tls?: boolean | undefined;
  /**
   * The path of a PEM file with the authorities to trust.
   *
   * @default the runtime's authorities
   */
  readonly ca?: string | undefined;
  /** The path of a PEM file with the client's own certificate. By default, there is none. */
  readonly cert?: string | undefined;
  /** The path of a PEM file with the key of that certificate. */
  readonly key?: string | undefined;
  /**
   * The name in the brokers' logs.
   *
   * @default {"broadcaster"}
   */
  readonly clientId?: string | undefined;
  /**
   * Whether a missing topic is created. Otherwise, its channel is refused.
   *
   * @default {true}
   */
  readonly create?: boolean | undefined;
  /**
   * The replication factor of the topics that are created: a number of brokers.
   *
   * @default the broker's `default.replication.factor`
   */
  readonly replication?: number | undefined;
}

/** The names of `KafkaOptions`. */
const OPTIONS: Names<KafkaOptions> = {
  url: true,
  client: true,
  sasl: true,
  tls: true,
  ca: true,
  cert: true,
  key: true,
  clientId: true,
  create: true,
  replication: true,
};

/**
 * Apache Kafka, for `new Broadcast()`: a topic per channel.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { kafka } from "@broadcaster/broadcaster/kafka";
 *
 * const broadcast = new Broadcast(kafka({ url: "kafka://localhost:9092", create: false }));
 * await broadcast.disconnect();
 * ```
 *
 * @param options The URL or a client, and settings.
 * @throws {TypeError} If the URL is malformed, or the client is not one of kafkajs 2.2.4.
 */
export function kafka(options: KafkaOptions = {}): BackendSource {
  const { url, client, ...parameters } = checkOptions("kafka", options, OPTIONS);
  const make = client === undefined ? undefined : clusterFactory(client);
  return sourceOf({
    schemes: ["kafka"],
    url,
    parameters,
    open: make ? (address) => new KafkaBackend(address, make) : open,
  });
}

/** Opens the backend of `kafka://`. */
export async function open(address: Address): Promise<Backend> {
  const backend = new KafkaBackend(address);
  await configuration(address)();
  await load();
  return backend;
}

/** The driver of Kafka. */
export class KafkaBackend implements Backend {
  /** Always `"kafka"`. */
  readonly name = "kafka";
  /** The servers of the URL. */
  readonly address: string;
  /** See `BackendFeatures`. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    patterns: true,
    headers: true,
  };
  readonly #url: Address;
  readonly #make: ClusterFactory | undefined;
  readonly #configure: () => Promise<KafkaConfig>;
  readonly #replication: number;
  readonly #writer: Writer;
  readonly #held: RenewedConnection<Reader> = new RenewedConnection(() => this.#connect());
  /** The newest cluster, which may not be connected yet. */
  #cluster: Cluster | undefined;
  #isClosed = false;

  /**
   * Reads the URL, without connecting.
   *
   * @param address The URL.
   * @param make Creates clusters of a user's client. By default, the URL configures them.
   * @throws {TypeError} If a parameter of the URL has a value that cannot be used.
   */
  constructor(address: Address, make?: ClusterFactory) {
    this.#url = address;
    this.#make = make;
    this.address = `kafka://${address.servers(9092).join(",")}`;
    const replication = address.count("replication") ?? -1;
    this.#replication = address.choice("create", ["true", "false"]) === "false" ? 0 : replication;
    this.#writer = new Writer(async () => (await this.#reader()).cluster);
    this.#configure = configuration(address);
  }

  /** Whether nothing was lost since `connect()`. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#held.current?.cluster.connections ?? 0;
  }

  /** Checks names, payloads and headers by the rules of the brokers. */
  check(channel: string, payload: Payload = "", options: PayloadOptions = {}): void {
    checkName(channel);
    checkRecord(channel, payload, options);
  }

  /** Connects to the first server that answers. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /**
   * Reads every partition of a topic, or of all matching topics, from the end or from a position.
   */
  async tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    const reader = await this.#reader();
    return await (typeof target === "string" ? reader.tail(target, after) : reader.tailAll(target));
  }

  /** A page over all partitions of the topic, merged by time. */
  async read(target: Target, options: ReadOptions): Promise<Page> {
    return await readPage((await this.#reader()).cluster, target as string, options);
  }

  /** Sends a request on every connection, and waits until the fetches are answered. */
  async probe(signal: AbortSignal): Promise<void> {
    const reader = this.#held.current;
    if (!reader || reader.lost) return;
    const { cluster } = reader;
    const cut = () => cluster.end(new ConnectionError("a probe was not answered"));
    if (signal.aborted) return cut();
    const forget = onAbort(signal, cut);
    try {
      await Promise.all([cluster.ping(), reader.ping()]);
    } finally {
      forget();
    }
  }

  /** Facts about the server. */
  async describe(): Promise<ServerFacts> {
    const { cluster } = await this.#reader();
    return await cluster.request(() => factsOf(cluster.seed));
  }

  /** Closes the connections that this backend has opened. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const closing = this.#held.close();
    this.#cluster?.end(closedError());
    await closing;
  }

  /** Publishes each payload to one partition, in order. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position | undefined>[] {
    return this.#writer.publish(messages);
  }

  async #reader(): Promise<Reader> {
    await this.#held.renew();
    return this.#held.current!;
  }

  async #connect(): Promise<Reader> {
    const make = this.#make ?? clusterFactory(await createClient(await this.#configure()));
    const cluster = this.#cluster = new Cluster(make(), {
      seeds: this.#make ? undefined : seeds(this.#url),
      replication: this.#replication,
    });
    try {
      if (this.#isClosed) throw closedError();
      await cluster.connect();
      cluster.signal.throwIfAborted();
      return new Reader(cluster);
    } catch (error) {
      cluster.end(error as Error);
      await cluster.shut();
      throw error;
    }
  }
}
