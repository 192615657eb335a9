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
 * A channel is 1 to 249 of the characters `A-Z a-z 0-9 . _ -`. A topic that is
 * missing is created, with one partition.
 *
 * ## Delivery
 *
 * Live events, at most once: what is published while the connection is lost is
 * not delivered, and neither is what retention deletes before it was read.
 * Every event of a channel has the channel as its key, so it lies on the
 * partition where Java and Python publishers put that key. Order is total on a
 * topic of one partition, and per partition on others. All partitions are read,
 * and those that are added later from their start, within half a minute.
 * Records without a value are skipped; those of open or aborted transactions
 * are not, as in other Kafka clients by default.
 *
 * ## Escape hatch
 *
 * Pass your own `new Kafka({…})` of kafkajs 2.2.4 as `client`, for whatever the
 * URL cannot say. Its connections stay its own: this backend makes others, with
 * the same configuration.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { KafkaConfig, SASLOptions } from "kafkajs";
import type { Address } from "../address.ts";
import type { Backend, BackendOptions, BackendRecord, Payload, Tail } from "../backend.ts";
import { importClient } from "../client.ts";
import { ConnectionError, RefusedError } from "../errors.ts";
import { type Broker, Cluster, hasMoved, type KafkaError, type Message } from "./kafka_cluster.ts";

/** The query parameters of the URL. */
export const PARAMETERS = [
  "sasl",
  "tls",
  "ca",
  "cert",
  "key",
  "clientId",
  "create",
  "replication",
] as const;

/** What brokers take for one request, less what surrounds a payload. */
const MAX_PAYLOAD = 100 * 1024 * 1024 - 1024;
/** A batch stays below the 1,048,588 bytes that brokers take by default. */
const MAX_BATCH = 900_000;
/** What may wait in a tail before its partitions are left out of the fetches. */
const MAX_WAITING = 4 * 1024 * 1024;
/** How often the connections are used, which keeps them open, and new partitions looked for. */
const REFRESH = 30_000;
const UNKNOWN_OUTCOME = new Set([
  "NOT_LEADER_FOR_PARTITION",
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "KAFKA_STORAGE_ERROR",
]);

/** Opens a backend for `kafka://`. It connects when it is used. */
export function open(address: Address, options: BackendOptions): Backend {
  return new KafkaBackend(address, options);
}

interface Record {
  readonly key: Buffer;
  readonly value: Buffer;
}

interface Call {
  readonly records: readonly Record[];
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

interface Session {
  readonly cluster: Cluster;
  readonly reader: Reader;
}

/** The driver of Kafka. */
export class KafkaBackend implements Backend {
  /** Always `"kafka"`. */
  readonly name = "kafka";
  /** The servers of the URL. */
  readonly address: string;
  /** It reaches other processes, with any bytes. */
  readonly features = { crossProcess: true, binary: true } as const;
  readonly #client: (() => Promise<object>);
  readonly #seeds: readonly { readonly host: string; readonly port: number }[] | undefined;
  readonly #replication: number;
  readonly #outboxes = new Map<string, Call[]>();
  #cluster: Cluster | undefined;
  #session: Promise<Session> | undefined;
  #isClosed = false;

  /**
   * @param address The URL.
   * @param options `client` is a `Kafka` of kafkajs 2.2.4.
   * @throws {TypeError} If a parameter of the URL has a wrong value.
   */
  constructor(address: Address, options: BackendOptions = {}) {
    this.address = address.servers(9092).join(",");
    const replication = address.count("replication") ?? -1;
    this.#replication = address.choice("create", ["true", "false"]) === "false" ? 0 : replication;
    const configure = configuration(address);
    const client = options.client;
    if (client === undefined) {
      const hosts = address.hosts.length > 0 ? address.hosts : [{ hostname: "localhost" }];
      this.#seeds = hosts.map(({ hostname, port }) => ({ host: hostname, port: port ?? 9092 }));
    }
    this.#client = async () => client ? client as object : await createClient(await configure());
  }

  /** Checks the name against the rules for topics, and the payload against the largest request. */
  check(channel: string, payload: Payload = ""): void {
    if (!/^[\w.-]{1,249}$/.test(channel) || channel === "." || channel === "..") {
      const reason = channel.length > 249
        ? `it has ${channel.length} characters, a topic at most 249`
        : `a topic has only the characters A-Z a-z 0-9 . _ -, and is not "", "." or ".."`;
      throw new (channel.length > 249 ? RangeError : TypeError)(
        `Cannot use channel "${channel}" on kafka: ${reason}`,
      );
    }
    if (Buffer.byteLength(payload) > MAX_PAYLOAD) {
      throw new RangeError(`Cannot publish to "${channel}" on kafka: the payload exceeds 100 MiB`);
    }
  }

  /** Connects to the first server that answers. */
  async connect(): Promise<void> {
    await this.#open();
  }

  /**
   * Publishes to one partition, in order. What comes while a request of the
   * same channel is under way goes with the next one.
   */
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    const key = Buffer.from(channel);
    // Copied: the caller may write on in its array before this is sent.
    const records = payloads.map((payload) => ({ key, value: Buffer.from(payload as Uint8Array) }));
    return new Promise((resolve, reject) => {
      const call = { records, resolve, reject };
      const outbox = this.#outboxes.get(channel);
      if (outbox) {
        outbox.push(call);
      } else {
        this.#outboxes.set(channel, [call]);
        void this.#drain(channel);
      }
    });
  }

  /** Reads every partition of the topic from its end. */
  async tail(channel: string): Promise<Tail> {
    const { reader } = await this.#open();
    return await reader.tail(channel);
  }

  /** Sends a request on every connection, and waits for what the fetches bring. */
  async probe(signal: AbortSignal): Promise<void> {
    const cluster = this.#cluster;
    if (!cluster || !this.#session) return;
    const { address } = this;
    function cut() {
      cluster?.end(new ConnectionError(`Cannot reach kafka at ${address}: it gives no sign of life`));
    }
    if (signal.aborted) return cut();
    signal.addEventListener("abort", cut, { once: true });
    try {
      const { reader } = await this.#session;
      await Promise.all([cluster.ping(), reader.ping()]);
    } finally {
      signal.removeEventListener("abort", cut);
    }
  }

  /** Closes the connections that this backend has made. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const session = this.#session;
    this.#cluster?.end(closed());
    await session?.catch(() => {});
    await this.#cluster?.shut();
  }

  #open(): Promise<Session> {
    this.#session ??= this.#connect().catch((error) => {
      this.#session = undefined;
      throw error;
    });
    return this.#session;
  }

  async #connect(): Promise<Session> {
    const client = await this.#client();
    if (this.#isClosed) throw closed();
    const cluster = new Cluster(client, { seeds: this.#seeds, replication: this.#replication });
    this.#cluster = cluster;
    try {
      await cluster.connect();
    } catch (error) {
      cluster.end(error as Error);
      throw error;
    }
    cluster.signal.addEventListener("abort", () => this.#session = undefined, { once: true });
    return { cluster, reader: new Reader(cluster) };
  }

  async #drain(channel: string): Promise<void> {
    for (let outbox; (outbox = this.#outboxes.get(channel)) && outbox.length > 0;) {
      let count = 0;
      for (let size = 0; count < outbox.length; count++) {
        size += sizeOf(outbox[count]?.records ?? []);
        if (count > 0 && size > MAX_BATCH) break;
      }
      const calls = outbox.splice(0, count);
      try {
        if (calls.length === 1) await this.#write(channel, calls[0]?.records ?? []);
        else await this.#send(channel, calls.flatMap(({ records }) => records));
        for (const { resolve } of calls) resolve();
      } catch (error) {
        // A refusal is of all or nothing: it is found out whom it concerns.
        if (error instanceof RefusedError && calls.length > 1) {
          for (const { records, resolve, reject } of calls) {
            await this.#write(channel, records).then(resolve, reject);
          }
        } else for (const { reject } of calls) reject(error);
      }
    }
    this.#outboxes.delete(channel);
  }

  /** Writes as few batches as the broker takes. */
  async #write(channel: string, records: readonly Record[]): Promise<void> {
    if (records.length < 2 || sizeOf(records) <= MAX_BATCH) {
      try {
        return await this.#send(channel, records);
      } catch (error) {
        const { type } = (error as Error).cause as KafkaError ?? {};
        if (type !== "MESSAGE_TOO_LARGE" || records.length < 2) throw error;
      }
    }
    const half = records.length >> 1;
    await this.#write(channel, records.slice(0, half));
    await this.#write(channel, records.slice(half));
  }

  async #send(channel: string, messages: readonly Record[]): Promise<void> {
    const { cluster } = await this.#open();
    try {
      await cluster.settle(async (attempt) => {
        const places = await cluster.places(channel, attempt > 0);
        const place = places[partitionOf(Buffer.from(channel), places.length)];
        const broker = await cluster.node(place?.leader ?? -1);
        const topicData = [{ topic: channel, partitions: [{ partition: place?.partition ?? 0, messages }] }];
        await cluster.request(() => broker.produce({ acks: -1, timeout: 8_000, topicData }));
      }, UNKNOWN_OUTCOME);
    } catch (cause) {
      throw refusal(`publish to "${channel}"`, cause as KafkaError, cluster);
    }
  }
}
