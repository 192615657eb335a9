/**
 * Configures kafkajs from a URL, and declares the internals of kafkajs that are used. kafkajs reads without a group, and keeps that to itself: it is
 * declared here, for the frozen version 2.2.4.
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
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import type { KafkaError } from "./errors.ts";

/** A record as kafkajs decodes it. */
export interface Message {
  readonly offset: string;
  /** Of the event or of its storing, in milliseconds; -1 if there is none. */
  readonly timestamp?: string;
  readonly value: Uint8Array | null;
  /** Bytes or `null` by their names; a repeated one has an array, and old records have none. */
  readonly headers?: Readonly<Record<string, unknown>>;
  readonly isControlRecord?: boolean;
}

/** One TCP connection. */
export interface Connection {
  readonly socket?: Socket;
  readonly requestQueue: { readonly pending: unknown[]; scheduleCheckPendingRequests(): void };
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
  getConnection(index: 1): Promise<Connection>;
}

/** What a broker knows of the cluster. */
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

/** One broker, with what kafkajs does not declare. */
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

/** What a fetch brings. */
export interface FetchResponse {
  readonly responses: readonly {
    readonly topicName: string;
    readonly partitions: readonly {
      readonly partition: number;
      readonly highWatermark: string;
      readonly messages: readonly Message[];
    }[];
  }[];
}

/** What a publish brings. */
export interface ProduceResponse {
  readonly topics: readonly {
    readonly partitions: readonly {
      readonly baseOffset?: string;
      /** -1 if the records have the time that they were sent with. */
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

/** Makes what kafkajs calls a cluster. */
export type ClusterFactory = () => Internals;

/**
 * The factory of a `Kafka`, which it keeps behind a private symbol. What comes
 * from there has the client's servers, TLS, SASL and logger, whoever made it.
 *
 * @throws {TypeError} If it has none.
 */
export function clusterFactory(client: unknown): ClusterFactory {
  const symbol = Object.getOwnPropertySymbols(Object(client))
    .find(({ description }) => description === "private:Kafka:createCluster");
  const create = symbol && (client as { [symbol]: unknown })[symbol];
  if (typeof create !== "function") {
    throw new TypeError("Cannot use client: it is not a `Kafka` of kafkajs 2.2.4");
  }
  return () => create({ allowAutoTopicCreation: false });
}

/**
 * Asks for nothing, and is answered by whoever serves. A broker that wants a
 * password is silent about it until it is asked for something.
 */
export async function greet(broker: Broker): Promise<void> {
  try {
    await broker.describeConfigs({ resources: [] });
  } catch (error) {
    const { name, type } = error as KafkaError;
    if (type === undefined && name !== "KafkaJSServerDoesNotSupportApiKey") throw error;
  }
}

/** The same broker, whose fetches go where everything else goes: no long poll is before them. */
export function besideFetches(broker: Broker): Broker {
  const [connection] = broker.connectionPool.pool;
  const connectionPool = { send: (request: unknown) => connection.send(request) };
  return Object.create(broker, { connectionPool: { value: connectionPool } });
}

/** Every topic, those included that are being made or have lost a leader: kafkajs would throw. */
export async function describeAll(broker: Broker): Promise<Metadata> {
  const [connection] = broker.connectionPool.pool;
  const parse = (data: unknown) => Promise.resolve(data);
  const connectionPool = {
    send: (request: { readonly response: object }) =>
      connection.send({ ...request, response: { ...request.response, parse } }),
  };
  const lenient: Broker = Object.create(broker, { connectionPool: { value: connectionPool } });
  return await lenient.metadata([]) as unknown as Metadata;
}

/** Leaves what goes wrong to the core, instead of the client's logger. */
export function quieten(connection: Connection): void {
  const { requestQueue } = connection;
  const schedule = requestQueue.scheduleCheckPendingRequests;
  connection.logError = () => {};
  // It sets a timer in the past after every response, of which Node 24 warns.
  requestQueue.scheduleCheckPendingRequests = () => {
    if (requestQueue.pending.length > 0) schedule.call(requestQueue);
  };
}

/** The servers of a URL. */
export function seeds({ hosts }: Address): { host: string; port: number }[] {
  if (hosts.length === 0) return [{ host: "localhost", port: 9092 }];
  return hosts.map(({ hostname, port }) => ({ host: hostname, port: port ?? 9092 }));
}

/** Checks the URL now; files are read each time it connects, since certificates are renewed. */
export function configuration(address: Address): () => Promise<KafkaConfig> {
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
  const isSecure = address.choice("tls", ["true", "false"]) === "true" ||
    pemParameters(address).length > 0;
  return async () => {
    const sasl = mechanism && { sasl: { mechanism, username, password } as SASLOptions };
    return {
      brokers: address.servers(9092),
      clientId: parameters.get("clientId") ?? "broadcaster",
      ...isSecure && { ssl: await readPem(address) },
      ...sasl,
      connectionTimeout: 1_000,
      requestTimeout: 10_000,
      logCreator: () => () => {},
    };
  };
}

/** Makes a client, which connects to nothing. */
export async function createClient(config: KafkaConfig): Promise<Kafka> {
  const module = await importClient<typeof import("kafkajs")>("kafkajs");
  // A CommonJS module: not every runtime finds its named exports.
  const { Kafka } = module.Kafka
    ? module
    : (module as unknown as { default: typeof module }).default;
  return new Kafka(config);
}
