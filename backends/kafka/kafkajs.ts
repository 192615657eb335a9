/**
 * Configures kafkajs from a URL, and declares the internals of kafkajs that are used. kafkajs can
 * read without a consumer group, but does not export this. The declarations are for version 2.2.4,
 * its last one.
 *
 * @module
 */

import type { Socket } from "node:net";
import type {
  Broker as KafkaBroker,
  ITopicConfig,
  Kafka,
  KafkaConfig,
  Message as KafkaMessage,
  SASLOptions,
} from "kafkajs";
import type { Address } from "../../core/backend/address.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { isAnswer } from "./errors.ts";
import type { Bounds } from "./offsets.ts";

/** A record as kafkajs decodes it. */
export interface Message {
  readonly offset: string;
  /** The time of creation or storage, in milliseconds. -1 if unknown. */
  readonly timestamp?: string;
  readonly value: Uint8Array | null;
  /** Bytes or `null`; an array if a name is repeated. Absent in records of old formats. */
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly isControlRecord?: boolean;
}

/** One TCP connection. */
export interface Connection {
  readonly socket?: Socket;
  /** Options for TLS, if it is used. */
  readonly ssl?: unknown;
  readonly requestQueue: {
    readonly pending: unknown[];
    /** The time until which a quota delays requests, in milliseconds since the Unix epoch. */
    readonly throttledUntil: number;
    scheduleCheckPendingRequests(): void;
  };
  /** The lifetime of a SASL session in milliseconds, or 0 if it has no end. */
  readonly sessionLifetime: { toString(): string };
  logError: () => void;
  connectionStatus: string;
  isConnected(): boolean;
  rejectRequests(reason: Error): void;
  send(request: unknown): Promise<unknown>;
  disconnect(): Promise<unknown>;
}

/** Two connections to one broker: the second for fetches, the first for everything else. */
export interface ConnectionPool {
  readonly host: string;
  readonly port: number;
  readonly pool: readonly [Connection, Connection];
  /** The login. Some mechanisms have no user name. */
  readonly sasl?: { readonly username?: string } | undefined;
  getConnection(index: 1): Promise<Connection>;
}

/** The cluster as a broker describes it. */
export interface Metadata {
  readonly brokers: readonly {
    readonly nodeId: number;
    readonly host: string;
    readonly port: number;
  }[];
  readonly controllerId: number;
  readonly topicMetadata: readonly {
    readonly topic: string;
    readonly topicErrorCode: number;
    readonly partitionMetadata: readonly {
      readonly partitionId: number;
      /** -1 if there is none. */
      readonly leader: number;
    }[];
  }[];
}

/** One broker, with the methods that kafkajs does not declare. */
export interface Broker extends Omit<KafkaBroker, "produce"> {
  readonly connectionPool: ConnectionPool;
  describeConfigs(request: { resources: readonly never[] }): Promise<unknown>;
  produce(request: {
    acks: number;
    timeout: number;
    topicData: readonly {
      topic: string;
      partitions: readonly { partition: number; messages: readonly KafkaMessage[] }[];
    }[];
  }): Promise<ProduceResponse>;
  createTopics(request: { timeout: number; topics: readonly ITopicConfig[] }): Promise<unknown>;
  listOffsets(request: {
    isolationLevel: number;
    topics: readonly { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{
    readonly responses: readonly {
      readonly topic: string;
      readonly partitions: readonly { partition: number; offset: string }[];
    }[];
  }>;
}

/** The response to a fetch. */
export interface FetchResponse {
  readonly responses: readonly {
    readonly topicName: string;
    readonly partitions: readonly PartitionResponse[];
  }[];
}

/** One partition in the response to a fetch. */
export interface PartitionResponse {
  readonly partition: number;
  readonly highWatermark: string;
  /** The log start offset, misspelt by kafkajs. Absent before Kafka 1.0. */
  readonly lastStartOffset?: string;
  readonly messages: readonly Message[];
}

/** The records of one partition in a fetch, and the bounds of the partition at that moment. */
export interface Fetched extends Bounds {
  /** A batch is whole, even if it starts before the requested offset. */
  readonly messages: readonly Message[];
}

/** Reads the response to a fetch. */
export function fetchedOf(
  { messages, highWatermark, lastStartOffset = "0" }: PartitionResponse,
): Fetched {
  const begin = Math.max(0, Number(lastStartOffset));
  return { messages, begin, end: Math.max(begin, Number(highWatermark)) };
}

/** The response to a publish. */
export interface ProduceResponse {
  readonly topics: readonly {
    readonly partitions: readonly {
      readonly baseOffset?: string;
      /** -1 if the records keep the time of their publisher. */
      readonly logAppendTime?: string;
    }[];
  }[];
}

/** The parts of a kafkajs cluster that are used. */
export interface Internals {
  readonly rootLogger: unknown;
  readonly connectionPoolBuilder: {
    build(destination: { host?: string; port?: number }): Promise<ConnectionPool>;
  };
  readonly brokerPool: {
    createBroker(options: { connectionPool: ConnectionPool; logger: unknown }): Broker;
  };
}

/** Creates what kafkajs calls a cluster. */
export type ClusterFactory = () => Internals;

const WANTED = {
  wanted: "a client of kafkajs 2.2.4, new Kafka({ brokers })",
  methods: ["producer", "consumer", "admin"],
  mistaken: [
    { name: "a promise, await it first", has: ["then"] },
    { name: "a producer of kafkajs", has: ["send", "sendBatch"] },
    { name: "a consumer of kafkajs", has: ["subscribe", "describeGroup"] },
    { name: "an admin of kafkajs", has: ["listTopics", "createTopics"] },
    { name: "a client of node-rdkafka", has: ["getMetadata", "offsetsForTimes"] },
    { name: "the module kafkajs, call new Kafka({ brokers }) of it", has: ["Kafka", "logLevel"] },
  ],
} as const;

/**
 * Gets the cluster factory of a `Kafka`, which has it under a private symbol. Its clusters have the
 * servers, TLS, SASL and logger of the client.
 *
 * @throws {TypeError} If the client is not one of kafkajs 2.2.4.
 */
export function clusterFactory(client: unknown): ClusterFactory {
  checkClient(client, WANTED);
  const symbol = Object.getOwnPropertySymbols(Object(client))
    .find(({ description }) => description === "private:Kafka:createCluster");
  const create = symbol && (client as { [symbol]: unknown })[symbol];
  if (typeof create !== "function") {
    throw new TypeError(
      `Cannot use client: it must be ${WANTED.wanted}, it is one of another version or library`,
    );
  }
  return () => create({ allowAutoTopicCreation: false });
}

/**
 * Sends an empty request, which any broker that serves this client answers. A broker that expects a
 * password is silent until it gets a request.
 */
export async function greet(broker: Broker): Promise<void> {
  try {
    await broker.describeConfigs({ resources: [] });
  } catch (error) {
    if (!isAnswer(error)) throw error;
  }
}

/**
 * The same broker, but its fetches use the connection of other requests, where no long poll delays
 * them.
 */
export function besideFetches(broker: Broker): Broker {
  const [connection] = broker.connectionPool.pool;
  const connectionPool = { send: (request: unknown) => connection.send(request) };
  return Object.create(broker, { connectionPool: { value: connectionPool } });
}

/** Topics as a broker describes them. */
export interface Description {
  /** All requested topics, including topics with an error. */
  readonly metadata: Metadata;
  /** Rejects as kafkajs would if the topic, or one of its partitions, has an error. */
  readonly verify: (topic: Metadata["topicMetadata"][number]) => Promise<unknown>;
}

/** Describes topics, or all of them. kafkajs itself fails if one topic has an error. */
export async function describe(
  broker: Broker,
  topics: readonly string[] = [],
): Promise<Description> {
  const [connection] = broker.connectionPool.pool;
  let verify!: Description["verify"];
  const connectionPool = {
    send: (
      request: { readonly response: { readonly parse: (data: unknown) => Promise<unknown> } },
    ) => {
      const { response } = request;
      verify = (topic) => response.parse({ topicMetadata: [topic] });
      const parse = (data: unknown) => Promise.resolve(data);
      return connection.send({ ...request, response: { ...response, parse } });
    },
  };
  const lenient: Broker = Object.create(broker, { connectionPool: { value: connectionPool } });
  const metadata = await lenient.metadata([...topics]) as unknown as Metadata;
  return { metadata, verify };
}

/** The time for which a quota of the broker still delays requests, in milliseconds. */
export function throttleTime({ requestQueue }: Connection): number {
  return Math.max(0, requestQueue.throttledUntil - Date.now());
}

/** How long before its end a SASL session is renewed, in milliseconds. */
const RENEWAL = 10_000;

/**
 * Prepares a connection. Keeps failures out of the client's logger, since the core reports them.
 * Renews short SASL sessions: kafkajs would renew a session of less than ten seconds with every
 * request, and brokers refuse that within a second.
 */
export function prepare(connection: Connection): void {
  const { requestQueue } = connection;
  Object.defineProperty(connection, "reauthenticationThreshold", {
    get: () => Math.min(RENEWAL, Number(connection.sessionLifetime) / 4),
  });
  const schedule = requestQueue.scheduleCheckPendingRequests;
  connection.logError = () => {};
  // kafkajs sets a timer in the past after every response, about which Node 24 warns.
  requestQueue.scheduleCheckPendingRequests = () => {
    if (requestQueue.pending.length > 0) schedule.call(requestQueue);
  };
}

/** The servers of a URL. */
export function seeds({ hosts }: Address): { host: string; port: number }[] {
  if (hosts.length === 0) return [{ host: "localhost", port: 9092 }];
  return hosts.map(({ hostname, port }) => ({ host: hostname, port: port ?? 9092 }));
}

/**
 * Checks the URL now. Returns a function that creates a configuration for each connect: files are
 * read again, since certificates are renewed.
 */
export function configuration(address: Address): () => Promise<KafkaConfig> {
  const { username, password, parameters } = address;
  const protocol = alternative(address, "security_protocol", [
    ...["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] as const,
  ]);
  const given = alternative(address, "sasl_mechanism", [
    ...["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] as const,
  ]);
  const mechanism = address.choice("sasl", ["plain", "scram-sha-256", "scram-sha-512"]) ??
    given?.toLowerCase() ??
    (username === undefined && !protocol?.startsWith("SASL") ? undefined : "plain");
  if (mechanism && (username === undefined || password === undefined)) {
    throw new TypeError(
      `Cannot open "${address}": sasl=${mechanism} needs user:password@ in the URL`,
    );
  }
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": kafka has nothing to name by a path`);
  }
  const tls = address.choice("tls", ["true", "false"]);
  const isSecure = tls === "true" || pemParameters(address).length > 0 ||
    protocol?.endsWith("SSL") === true;
  if (
    protocol !== undefined && isSecure !== protocol.endsWith("SSL") || isSecure && tls === "false"
  ) {
    throw new TypeError(
      `Cannot open "${address}": its parameters do not agree on whether TLS is used`,
    );
  }
  return async () => {
    const sasl = mechanism && { sasl: { mechanism, username, password } as SASLOptions };
    return {
      brokers: address.servers(9092),
      clientId: parameters.get("clientId") ?? "broadcaster",
      ...isSecure && { ssl: await readPem(address) },
      ...sasl,
      connectionTimeout: 3_000,
      requestTimeout: 10_000,
      logCreator: () => () => {},
    };
  };
}

/** Reads a parameter that other clients name with underscores or with dots. */
function alternative<const Choice extends string>(
  address: Address,
  name: string,
  choices: readonly Choice[],
): Choice | undefined {
  return address.choice(name, choices) ?? address.choice(name.replace("_", "."), choices);
}

/** Loads kafkajs. */
export async function load(): Promise<typeof import("kafkajs")> {
  const module = await importClient<typeof import("kafkajs")>("kafkajs", "kafka({ client })");
  // kafkajs is a CommonJS module. Not every runtime finds its named exports.
  return module.Kafka ? module : (module as unknown as { default: typeof module }).default;
}

/** Creates a client, without connecting. */
export async function createClient(config: KafkaConfig): Promise<Kafka> {
  const { Kafka } = await load();
  return new Kafka(config);
}
