/**
 * Apache Kafka: a topic per channel, read without a consumer group.
 *
 * ## URLs
 *
 * `kafka://[user:password@]host[:port][,host[:port]…][?parameters]`, port 9092 unless it is named.
 *
 * | parameter | |
 * |---|---|
 * | `sasl` | `plain`, `scram-sha-256` or `scram-sha-512`; `plain` if the URL names a user |
 * | `tls` | `true` or `false`, the default |
 * | `ca` | path of a PEM file with the authorities to trust; implies TLS, as do the next two |
 * | `cert`, `key` | paths of PEM files with the client's own certificate and its key |
 * | `clientId` | the name that brokers log, `broadcaster` by default |
 * | `create` | `false` refuses channels without a topic, instead of creating it |
 * | `replication` | replication factor of the topics that are created; the broker's default |
 *
 * The files are read each time it connects, since certificates are renewed.
 *
 * A channel is 1 to 249 of the characters `A-Z a-z 0-9 . _ -`; of names that
 * differ only in `.` and `_`, brokers take one. A topic that is missing is
 * created, with one partition.
 *
 * ## Delivery
 *
 * The topic is the log. A tail that is opened again goes on behind the last
 * event, on every partition: nothing is lost while the broker stores it. What an
 * unclean leader election loses is a gap to who had seen it, and to nobody else. What
 * retention, compaction or `DeleteRecords` removed before it was read is a gap,
 * and so is a topic that was deleted and made anew. `missed` is not known, as
 * offsets also count the markers of transactions; and where compaction removed
 * the very record that was read last, a gap is told though nothing may be
 * missing. A slow reader loses nothing else: what it has no room for waits on
 * the broker. A message whose partition changes its leader meanwhile may or may
 * not be published.
 *
 * An id has the offsets of all partitions, each with the time of its record,
 * and room for 43 partitions: a channel with more can be published to, and
 * neither read nor subscribed to by its name. `publish` knows the id on topics of one
 * partition. A new topic that has as many events as the old one had, with the
 * same time at the same offset, cannot be told from it; nor can it be where the
 * last place was found and not read, as at the beginning of a subscription.
 *
 * Every event of a channel has the channel as its key, so it lies on the
 * partition where Java and Python publishers put that key. Order is total on a
 * topic of one partition, and per partition on others; history merges them by
 * the time of their records. All partitions are read, and those that are added
 * later from their start, within half a minute.
 * Records without a value are skipped; those of open or aborted transactions
 * are not, as in other clients by default. kafkajs decompresses gzip; a tail
 * that meets another codec ends, unless `CompressionCodecs` of kafkajs has it.
 *
 * Headers are record headers, each with the UTF-8 of its text. Of what other
 * programs write, a name that comes again has its last value, and what is `null` or
 * not UTF-8 is left out. They count towards `max.message.bytes` of the topic.
 *
 * A pattern reads all topics that match, from their ends. Topics are listed once
 * a second, or as often as that takes a twentieth of the time; what appears in
 * the list is read from its start, so that nothing of a new topic is lost. What
 * this process itself makes is found at once. A topic that is deleted leaves
 * quietly, unless there may be something of it that was not read: that is a gap.
 * One that may not be read ends the subscription, one that may not even be
 * described matches nothing, and neither do the brokers' own, which begin with
 * `__`. A pattern has no position: a lost connection is a gap in it.
 *
 * ## Escape hatch
 *
 * Pass your own `new Kafka({…})` of kafkajs 2.2.4 as `client`, for whatever the
 * URL cannot say. Its connections stay its own: this backend makes others, with
 * the same configuration. On Deno, kafkajs needs `--allow-net` and `--allow-env`.
 *
 * @module
 */

import type { KafkaConfig } from "kafkajs";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendOptions,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { ClosedError, ConnectionError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { Cluster } from "./cluster.ts";
import {
  type ClusterFactory,
  clusterFactory,
  configuration,
  createClient,
  seeds,
} from "./kafkajs.ts";
import { checkRecord } from "./log/limits.ts";
import { readPage } from "./log/page.ts";
import { Reader } from "./log/reader.ts";
import { Writer } from "./log/writer.ts";
import { checkName } from "./topics.ts";

/** Makes the backend of `kafka://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const backend = new KafkaBackend(address, options);
  if (options.client === undefined) {
    await configuration(address)();
    await importClient("kafkajs");
  }
  return backend;
}

/** The driver of Kafka. */
export class KafkaBackend implements Backend {
  /** Always `"kafka"`. */
  readonly name = "kafka";
  /** The servers that the URL names. */
  readonly address: string;
  /** It reaches other processes, with any bytes and with headers, and stores them. */
  readonly features = {
    crossProcess: true,
    binary: true,
    log: true,
    patterns: true,
    headers: true,
  } as const;
  readonly #url: Address;
  readonly #make: ClusterFactory | undefined;
  readonly #configure: () => Promise<KafkaConfig>;
  readonly #replication: number;
  readonly #writer: Writer;
  #cluster: Cluster | undefined;
  #session: Promise<Reader> | undefined;
  #isClosed = false;

  /**
   * Reads the URL, without connecting.
   *
   * @param address The URL.
   * @param options `client` is a `Kafka` of kafkajs 2.2.4.
   * @throws {TypeError} If a parameter of the URL has a value that cannot be used.
   */
  constructor(address: Address, options: BackendOptions = {}) {
    this.#url = address;
    this.address = `kafka://${address.servers(9092).join(",")}`;
    const replication = address.count("replication") ?? -1;
    this.#replication = address.choice("create", ["true", "false"]) === "false" ? 0 : replication;
    this.#writer = new Writer(async () => (await this.#open()).cluster);
    this.#configure = configuration(address);
    if (options.client !== undefined) this.#make = clusterFactory(options.client);
  }

  /** Whether nothing was lost since `connect()`. */
  get connected(): boolean {
    return this.#session !== undefined;
  }

  /** Holds names, payloads and headers against what brokers take. */
  check(channel: string, payload: Payload = "", options: PayloadOptions = {}): void {
    checkName(channel);
    checkRecord(channel, payload, options);
  }

  /** Connects to the first server that answers. */
  async connect(): Promise<void> {
    await this.#open();
  }

  /** Reads every partition: of the topic, from its end or a position on, or of all that match. */
  async tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    const reader = await this.#open();
    return await (typeof target === "string" ? reader.tail(target, after) : reader.tailAll(target));
  }

  /** A page over all partitions of the topic, merged by time. */
  async read(target: Target, options: ReadOptions): Promise<Page> {
    return await readPage((await this.#open()).cluster, target as string, options);
  }

  /** Sends a request on every connection, and waits for what the fetches bring. */
  async probe(signal: AbortSignal): Promise<void> {
    const [cluster, session] = [this.#cluster, this.#session];
    if (!cluster || !session) return;
    function cut(): void {
      cluster?.end(new ConnectionError("a probe was not answered"));
    }
    if (signal.aborted) return cut();
    signal.addEventListener("abort", cut, { once: true });
    try {
      await Promise.all([cluster.ping(), (await session).ping()]);
    } finally {
      signal.removeEventListener("abort", cut);
    }
  }

  /** Closes the connections that this backend has made. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const session = this.#session;
    this.#cluster?.end(closed());
    const reader = await session?.catch(() => undefined);
    await reader?.ended();
    await this.#cluster?.shut();
  }

  /**
   * Publishes to one partition, in order. What comes while a request of the
   * same channel is under way goes together, with the next.
   */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<unknown>[] {
    return payloads.map((payload, index) =>
      this.#writer.publish(channel, payload, options?.[index])
    );
  }

  #open(): Promise<Reader> {
    if (!this.#session) {
      const session = this.#session = this.#connect();
      session.catch(() => {
        if (this.#session === session) this.#session = undefined;
      });
    }
    return this.#session;
  }

  async #connect(): Promise<Reader> {
    const make = this.#make ?? clusterFactory(await createClient(await this.#configure()));
    if (this.#isClosed) throw closed();
    const cluster = this.#cluster = new Cluster(make(), {
      seeds: this.#make ? undefined : seeds(this.#url),
      replication: this.#replication,
    });
    cluster.signal.addEventListener("abort", () => {
      if (this.#cluster === cluster) this.#session = undefined;
    }, { once: true });
    try {
      await cluster.connect();
      return new Reader(cluster);
    } catch (error) {
      cluster.end(error as Error);
      throw error;
    }
  }
}

function closed(): ClosedError {
  return new ClosedError("Cannot use backend: it is closed");
}
