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
 * not delivered, nor what retention deletes before it was read. A slow reader
 * loses nothing else: what it has no room for waits on the broker. A message
 * whose partition changes its leader meanwhile may or may not be published.
 *
 * Every event of a channel has the channel as its key, so it lies on the
 * partition where Java and Python publishers put that key. Order is total on a
 * topic of one partition, and per partition on others. All partitions are read,
 * and those that are added later from their start, within half a minute.
 * Records without a value are skipped; those of open or aborted transactions
 * are not, as in other clients by default. kafkajs decompresses gzip; a tail
 * that meets another codec ends, unless `CompressionCodecs` of kafkajs has it.
 *
 * ## Escape hatch
 *
 * Pass your own `new Kafka({…})` of kafkajs 2.2.4 as `client`, for whatever the
 * URL cannot say. Its connections stay its own: this backend makes others, with
 * the same configuration. On Deno, kafkajs needs `--allow-net` and `--allow-env`.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import type { Kafka, KafkaConfig, SASLOptions } from "kafkajs";
import type { Address } from "../address.ts";
import type { Backend, BackendOptions, Payload, Tail } from "../backend.ts";
import { importClient } from "../client.ts";
import { ClosedError, ConnectionError, RefusedError } from "../errors.ts";
import {
  Cluster,
  type ClusterFactory,
  clusterFactory,
  explain,
  type KafkaError,
  Reader,
} from "./kafka_cluster.ts";

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
/** What surrounds key and value in a batch, at most. */
const OVERHEAD = 40;
const TOO_LARGE = "MESSAGE_TOO_LARGE";
/** Answers to a publish after which it may be stored, or not. */
const UNKNOWN = new Set([
  "NOT_LEADER_FOR_PARTITION",
  "REQUEST_TIMED_OUT",
  "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
  "KAFKA_STORAGE_ERROR",
]);

/** Makes the backend of `kafka://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const backend = new KafkaBackend(address, options);
  if (options.client === undefined) await importClient("kafkajs");
  return backend;
}

interface Entry {
  readonly key: Buffer;
  readonly value: Buffer;
}

interface Call {
  readonly entries: readonly Entry[];
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** The driver of Kafka. */
export class KafkaBackend implements Backend {
  /** Always `"kafka"`. */
  readonly name = "kafka";
  /** The servers that the URL names. */
  readonly address: string;
  /** It reaches other processes, with any bytes. */
  readonly features = { crossProcess: true, binary: true } as const;
  readonly #url: Address;
  readonly #make: ClusterFactory | undefined;
  readonly #configure: () => Promise<KafkaConfig>;
  readonly #replication: number;
  readonly #outboxes = new Map<string, Call[]>();
  #cluster: Cluster | undefined;
  #session: Promise<Reader> | undefined;
  #isClosed = false;

  /**
   * @param address The URL.
   * @param options `client` is a `Kafka` of kafkajs 2.2.4.
   * @throws {TypeError} If a parameter of the URL has a value that cannot be used.
   */
  constructor(address: Address, options: BackendOptions = {}) {
    this.#url = address;
    this.address = `kafka://${address.servers(9092).join(",")}`;
    const replication = address.count("replication") ?? -1;
    this.#replication = address.choice("create", ["true", "false"]) === "false" ? 0 : replication;
    this.#configure = configuration(address);
    if (options.client !== undefined) this.#make = clusterFactory(options.client);
  }

  /** Whether nothing was lost since `connect()`. */
  get connected(): boolean {
    return this.#session !== undefined;
  }

  /** Holds the channel against the rules for topics, and the payload against the largest request. */
  check(channel: string, payload: Payload = ""): void {
    if (channel.length > 249) {
      throw new RangeError(
        `Cannot use channel "${channel}" on kafka: it has ${channel.length} characters, a topic at most 249`,
      );
    }
    if (!/^[\w.-]+$/.test(channel) || channel === "." || channel === "..") {
      throw new TypeError(
        `Cannot use channel "${channel}" on kafka: a topic has only the characters A-Z a-z 0-9 . _ -, and is neither "." nor ".."`,
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

  /** Reads every partition of the topic from its end. */
  async tail(channel: string): Promise<Tail> {
    return await (await this.#open()).tail(channel);
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
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    const key = Buffer.from(channel);
    // Copied, since the caller may write on in its array before this is sent.
    const entries = payloads.map((payload) => ({ key, value: Buffer.from(payload as string) }));
    return new Promise((resolve, reject) => {
      const outbox = this.#outboxes.get(channel);
      outbox?.push({ entries, resolve, reject });
      if (outbox) return;
      const calls = [{ entries, resolve, reject }];
      this.#outboxes.set(channel, calls);
      void this.#drain(channel, calls);
    });
  }

  async #drain(channel: string, outbox: Call[]): Promise<void> {
    while (outbox.length > 0) {
      let count = 1;
      for (let size = sizeOf(outbox[0]!.entries); count < outbox.length; count++) {
        size += sizeOf(outbox[count]!.entries);
        if (size > MAX_BATCH) break;
      }
      const calls = outbox.splice(0, count);
      try {
        if (count === 1) await this.#write(channel, calls[0]!.entries);
        else await this.#send(channel, calls.flatMap(({ entries }) => entries));
        for (const { resolve } of calls) resolve();
      } catch (error) {
        // A batch is refused as a whole, because of one of the calls: each is asked for itself.
        const isRefused = error instanceof RefusedError || isTooLarge(error);
        for (const { entries, resolve, reject } of calls) {
          if (count === 1 || !isRefused) reject(error);
          else await this.#write(channel, entries).then(resolve, reject);
        }
      }
    }
    this.#outboxes.delete(channel);
  }

  /** Writes as few batches as brokers take. */
  async #write(channel: string, entries: readonly Entry[]): Promise<void> {
    if (entries.length < 2 || sizeOf(entries) <= MAX_BATCH) {
      try {
        return await this.#send(channel, entries);
      } catch (error) {
        if (!isTooLarge(error) || entries.length < 2) throw error;
      }
    }
    const half = entries.length >> 1;
    await this.#write(channel, entries.slice(0, half));
    await this.#write(channel, entries.slice(half));
  }

  /** Sends one batch: all of it is stored, or nothing. */
  async #send(channel: string, entries: readonly Entry[]): Promise<void> {
    const { cluster } = await this.#open();
    try {
      await cluster.settle(async (attempt) => {
        const places = await cluster.places(channel, attempt > 0);
        const { partition, leader } = places[hash(channel) % places.length]!;
        const broker = await cluster.node(leader);
        const topicData = [{ topic: channel, partitions: [{ partition, messages: [...entries] }] }];
        try {
          await cluster.request(() => broker.produce({ acks: -1, timeout: 8_000, topicData }));
        } catch (cause) {
          const { type = "", message } = cause as KafkaError;
          if (!UNKNOWN.has(type)) throw cause;
          cluster.forget(channel);
          throw new ConnectionError(message, { cause });
        }
      });
    } catch (cause) {
      if ((cause as KafkaError).type !== TOO_LARGE) throw explain(cause);
      throw new RangeError(
        `Cannot publish to "${channel}" on kafka: the payload exceeds max.message.bytes of the topic`,
        { cause },
      );
    }
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

function seeds({ hosts }: Address): { host: string; port: number }[] {
  if (hosts.length === 0) return [{ host: "localhost", port: 9092 }];
  return hosts.map(({ hostname, port }) => ({ host: hostname, port: port ?? 9092 }));
}

/** Checks the URL now; files are read each time it connects, since certificates are renewed. */
function configuration(address: Address): () => Promise<KafkaConfig> {
  const { username, password, parameters } = address;
  const mechanism = address.choice("sasl", ["plain", "scram-sha-256", "scram-sha-512"]) ??
    (username === undefined ? undefined : "plain");
  if (mechanism && (username === undefined || password === undefined)) {
    throw new TypeError(
      `Cannot open "${address}": sasl=${mechanism} needs user:password@ in the URL`,
    );
  }
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": kafka has nothing to name by a path`);
  }
  const files = (["ca", "cert", "key"] as const).filter((name) => parameters.has(name));
  const isSecure = address.choice("tls", ["true", "false"]) === "true" || files.length > 0;
  return async () => {
    const texts = files.map(async (name) => [name, await readFile(parameters.get(name)!, "utf8")]);
    const sasl = mechanism && { sasl: { mechanism, username, password } as SASLOptions };
    return {
      brokers: address.servers(9092),
      clientId: parameters.get("clientId") ?? "broadcaster",
      ...isSecure && { ssl: Object.fromEntries(await Promise.all(texts)) },
      ...sasl,
      connectionTimeout: 1_000,
      requestTimeout: 10_000,
      logCreator: () => () => {},
    };
  };
}

async function createClient(config: KafkaConfig): Promise<Kafka> {
  const module = await importClient<typeof import("kafkajs")>("kafkajs");
  // A CommonJS module: not every runtime finds its named exports.
  const { Kafka } = module.Kafka
    ? module
    : (module as unknown as { default: typeof module }).default;
  return new Kafka(config);
}

function isTooLarge(error: unknown): boolean {
  return ((error as Error).cause as KafkaError | undefined)?.type === TOO_LARGE;
}

function sizeOf(entries: readonly Entry[]): number {
  return entries.reduce((size, { key, value }) => size + key.length + value.length + OVERHEAD, 0);
}

/** Where publishers of all languages put a key: murmur2, as in Kafka's own. */
function hash(key: string): number {
  const bytes = Buffer.from(key);
  const whole = bytes.length - bytes.length % 4;
  let hash = 0x9747b28c ^ bytes.length;
  for (let index = 0; index < whole; index += 4) {
    const word = Math.imul(bytes.readInt32LE(index), 0x5bd1e995);
    hash = Math.imul(hash, 0x5bd1e995) ^ Math.imul(word ^ (word >>> 24), 0x5bd1e995);
  }
  if (whole < bytes.length) {
    const rest = bytes.readUIntLE(whole, bytes.length - whole);
    hash = Math.imul(hash ^ rest, 0x5bd1e995);
  }
  hash = Math.imul(hash ^ (hash >>> 13), 0x5bd1e995);
  return (hash ^ (hash >>> 15)) & 0x7fffffff;
}
