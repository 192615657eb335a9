/**
 * Connections to the brokers of one Kafka cluster, and the requests on them
 * that need no consumer group. kafkajs has both, and keeps them to itself:
 * what is used of its insides is declared here, for the frozen version 2.2.4.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { ConnectionError, RefusedError } from "../errors.ts";

/** What kafkajs rejects with; `type` is Kafka's name of an error that a broker answered. */
export interface KafkaError extends Error {
  readonly type?: string;
  readonly errors?: readonly KafkaError[];
}

/** A record as kafkajs decodes it. */
export interface Message {
  readonly offset: string;
  readonly value: Buffer | null;
  readonly isControlRecord?: boolean;
}

interface Partitions<Partition> {
  readonly topic: string;
  readonly partitions: readonly Partition[];
}

/** One TCP connection. */
interface Connection {
  readonly socket?: Socket;
  readonly requestQueue: { readonly pending: unknown[]; scheduleCheckPendingRequests(): void };
  isConnected(): boolean;
  rejectRequests(reason: Error): void;
  disconnect(): Promise<unknown>;
}

/** Two connections to one broker: the second for fetches, the first for everything else. */
interface ConnectionPool {
  readonly host: string;
  readonly port: number;
  readonly pool: readonly Connection[];
  getConnection(index: 1): Promise<Connection>;
}

/** One broker. */
export interface Broker {
  readonly connectionPool: ConnectionPool;
  connect(): Promise<void>;
  apiVersions(): Promise<unknown>;
  metadata(topics: readonly string[]): Promise<{
    readonly brokers: readonly { nodeId: number; host: string; port: number }[];
    readonly controllerId: number;
    readonly topicMetadata: readonly {
      partitionMetadata: readonly { partitionId: number; leader: number }[];
    }[];
  }>;
  createTopics(request: {
    timeout: number;
    topics: readonly { topic: string; numPartitions: number; replicationFactor: number }[];
  }): Promise<unknown>;
  listOffsets(request: {
    isolationLevel: number;
    topics: readonly Partitions<{ partition: number; timestamp: number }>[];
  }): Promise<{ readonly responses: readonly Partitions<{ partition: number; offset: string }>[] }>;
  produce(request: {
    acks: number;
    timeout: number;
    topicData: readonly Partitions<{
      partition: number;
      messages: readonly { key: Buffer; value: Buffer }[];
    }>[];
  }): Promise<unknown>;
  fetch(request: {
    isolationLevel: number;
    maxWaitTime: number;
    maxBytes: number;
    topics: readonly Partitions<{ partition: number; fetchOffset: number; maxBytes: number }>[];
  }): Promise<{
    readonly responses: readonly {
      topicName: string;
      partitions: readonly { partition: number; messages: readonly Message[] }[];
    }[];
  }>;
}

interface Internals {
  readonly rootLogger: unknown;
  readonly connectionPoolBuilder: {
    build(destination: { host?: string; port?: number }): Promise<ConnectionPool>;
  };
  readonly brokerPool: {
    createBroker(options: { connectionPool: ConnectionPool; logger: unknown }): Broker;
  };
}

/** How the cluster is used. */
export interface ClusterOptions {
  /** Where to ask first; without them, what the client was given. */
  readonly seeds: readonly { readonly host: string; readonly port: number }[] | undefined;
  /** The replication factor of new topics, -1 for the broker's default, 0 to create none. */
  readonly replication: number;
}

/** A partition and the broker that leads it. */
export interface Place {
  readonly partition: number;
  readonly leader: number;
}

const LOST = /^KafkaJS(Connection(Closed)?Error|RequestTimeoutError|LockTimeout)$/;
const WRONG_CREDENTIALS = /SASL/;
const MOVED = new Set([
  "UNKNOWN_TOPIC_OR_PARTITION",
  "LEADER_NOT_AVAILABLE",
  "NOT_LEADER_FOR_PARTITION",
  "REPLICA_NOT_AVAILABLE",
  "LISTENER_NOT_FOUND",
  "FENCED_LEADER_EPOCH",
  "UNKNOWN_LEADER_EPOCH",
  "OFFSET_NOT_AVAILABLE",
  "KAFKA_STORAGE_ERROR",
  "BROKER_NOT_AVAILABLE",
]);

/** Whether a broker did not do what was asked since another may lead the partition by now. */
export function hasMoved(error: unknown): boolean {
  return MOVED.has((error as KafkaError).type ?? "");
}

/**
 * The connections to one cluster, from `connect` to the first loss: nothing is
 * opened again, all ends together. What comes next is a new object.
 */
export class Cluster {
  /** Aborted when the connections are lost or closed, with the reason. */
  readonly signal: AbortSignal;
  readonly #ending = new AbortController();
  readonly #options: ClusterOptions;
  readonly #kafka: Internals;
  readonly #brokers = new Map<string, Promise<Broker>>();
  readonly #pools = new Set<ConnectionPool>();
  readonly #nodes = new Map<number, { readonly host: string; readonly port: number }>();
  readonly #places = new Map<string, Promise<readonly Place[]>>();
  #seed!: Broker;

  /**
   * @param client A `Kafka`. The factory of its clusters is behind a private
   * symbol: taken from there, a cluster has the client's servers, TLS, SASL and
   * logger, whoever made the client.
   */
  constructor(client: object, options: ClusterOptions) {
    const symbol = Object.getOwnPropertySymbols(client)
      .find(({ description }) => description === "private:Kafka:createCluster");
    const create: unknown = symbol && (client as Record<symbol, unknown>)[symbol];
    if (typeof create !== "function") {
      throw new TypeError("Cannot use client: it is not a Kafka instance of kafkajs 2.2.4");
    }
    this.#kafka = create({ allowAutoTopicCreation: false }) as Internals;
    this.#options = options;
    this.signal = this.#ending.signal;
  }

  /** Connects to the first server that answers. */
  async connect(): Promise<void> {
    const tried = new Set<string>();
    for (let index = 0, failure: unknown;; index++) {
      const seeds = this.#options.seeds;
      // Without a destination the client's own servers take turns.
      const pool = await this.#kafka.connectionPoolBuilder.build(seeds?.[index % seeds.length] ?? {});
      const name = `${pool.host}:${pool.port}`;
      if (tried.has(name)) throw failure;
      tried.add(name);
      try {
        this.#seed = await this.#open(pool);
        this.#brokers.set(name, Promise.resolve(this.#seed));
        return;
      } catch (error) {
        if (error instanceof RefusedError || this.signal.aborted) throw error;
        failure = error;
      }
    }
  }

  /** Opens the connection to a broker, once. */
  async node(id: number): Promise<Broker> {
    const node = this.#nodes.get(id);
    if (!node) throw new ConnectionError(`Cannot reach broker ${id}: its address is not known`);
    const name = `${node.host}:${node.port}`;
    let broker = this.#brokers.get(name);
    if (!broker) {
      const { host, port } = node;
      broker = this.#kafka.connectionPoolBuilder.build({ host, port }).then((pool) => this.#open(pool));
      this.#brokers.set(name, broker);
      broker.catch(() => this.#brokers.delete(name));
    }
    return await broker;
  }

  /** Opens the connection for fetches. `isIdle` tells whether its end is no loss. */
  async openFetches(broker: Broker, isIdle: () => boolean): Promise<void> {
    const connection = await this.request(() => broker.connectionPool.getConnection(1));
    if (connection.socket?.listenerCount("close") === 0) this.#watch(broker, connection, isIdle);
  }

  /** Sends a request. A connection that breaks meanwhile is the end of all of them. */
  async request<Response>(send: () => Promise<Response>): Promise<Response> {
    this.signal.throwIfAborted();
    try {
      return await send();
    } catch (error) {
      if (LOST.test((error as Error).name)) this.end(explain("keep the connection", error));
      this.signal.throwIfAborted();
      throw error;
    }
  }

  /** The partitions of a topic, which is created if it is missing; as last seen, or as now. */
  async places(topic: string, refresh = false): Promise<readonly Place[]> {
    let places = this.#places.get(topic);
    if (!places || refresh) {
      places = this.#locate(topic);
      this.#places.set(topic, places);
      places.catch(() => this.#places.get(topic) === places && this.#places.delete(topic));
    }
    return await places;
  }

  /** The partitions of a topic as they are now. */
  async look(topic: string): Promise<readonly Place[]> {
    const { brokers, topicMetadata } = await this.request(() => this.#seed.metadata([topic]));
    for (const { nodeId, host, port } of brokers) this.#nodes.set(nodeId, { host, port });
    return (topicMetadata[0]?.partitionMetadata ?? [])
      .map(({ partitionId, leader }) => ({ partition: partitionId, leader }))
      .sort((one, other) => one.partition - other.partition);
  }

  /** Calls again, after short and growing waits, while leaders are being elected or moved. */
  async settle<Result>(call: (attempt: number) => Promise<Result>): Promise<Result> {
    const deadline = Date.now() + 10_000;
    for (let attempt = 0, wait = 2;; attempt++, wait = Math.min(wait * 2, 250)) {
      try {
        return await call(attempt);
      } catch (error) {
        if (!hasMoved(error) || Date.now() > deadline) throw error;
      }
      await delay(wait, undefined, { signal: this.signal });
    }
  }

  /** Asks every open connection but those for fetches for a sign of life. */
  async ping(): Promise<void> {
    const brokers = await Promise.all(this.#brokers.values());
    await Promise.all(brokers.map((broker) => this.request(() => broker.apiVersions())));
  }

  /** Cuts every connection. */
  end(reason: Error): void {
    if (this.signal.aborted) return;
    this.#ending.abort(reason);
    for (const pool of this.#pools) this.#cut(pool, reason);
  }

  /** Resolves when the sockets are shut, after `end`. */
  async shut(): Promise<void> {
    await Promise.allSettled(this.#brokers.values());
    const sockets = [...this.#pools].flatMap(({ pool }) => pool.map(({ socket }) => socket));
    await Promise.all(
      sockets.map((socket) =>
        socket && !socket.closed && new Promise((resolve) => socket.once("close", resolve))
      ),
    );
  }

  async #open(connectionPool: ConnectionPool): Promise<Broker> {
    this.signal.throwIfAborted();
    this.#pools.add(connectionPool);
    for (const { requestQueue } of connectionPool.pool) {
      const schedule = requestQueue.scheduleCheckPendingRequests;
      // It sets a timer in the past after every response, of which Node 24 warns.
      requestQueue.scheduleCheckPendingRequests = () => {
        if (requestQueue.pending.length > 0) schedule.call(requestQueue);
      };
    }
    const { brokerPool, rootLogger } = this.#kafka;
    const broker = brokerPool.createBroker({ connectionPool, logger: rootLogger });
    try {
      await broker.connect();
      this.signal.throwIfAborted();
      this.#watch(broker, connectionPool.pool[0] as Connection, () => false);
      return broker;
    } catch (error) {
      const failure = this.signal.aborted ? this.signal.reason : explain("connect", error);
      this.#cut(connectionPool, failure);
      throw failure;
    }
  }

  #watch({ connectionPool: { host, port } }: Broker, { socket }: Connection, isIdle: () => boolean) {
    function lost(this: Cluster, cause?: unknown) {
      if (isIdle()) return;
      this.end(new ConnectionError(`Cannot keep the connection to ${host}:${port}: it was lost`, { cause }));
    }
    // kafkajs leaves it on, so that a small request waits for the answer to the one before.
    socket?.setNoDelay(true);
    for (const event of ["error", "end", "close"]) socket?.once(event, lost.bind(this));
  }

  #cut({ pool }: ConnectionPool, reason: Error): void {
    for (const connection of pool) {
      const isConnected = connection.isConnected();
      connection.rejectRequests(reason);
      // Only these two, in this order, stop its timers without logging an error.
      if (isConnected) void connection.disconnect();
      connection.socket?.destroy(isConnected ? undefined : reason);
    }
  }

  #locate(topic: string): Promise<readonly Place[]> {
    let isNew = false;
    return this.settle(async () => {
      try {
        return await this.look(topic);
      } catch (error) {
        // A topic that was just created is not known everywhere at once.
        if ((error as KafkaError).type === "UNKNOWN_TOPIC_OR_PARTITION" && !isNew) {
          await this.#create(topic);
          isNew = true;
        }
        throw error;
      }
    });
  }

  async #create(topic: string): Promise<void> {
    const { replication } = this.#options;
    if (replication === 0) {
      throw new RefusedError(
        `Cannot use channel "${topic}" on kafka: there is no such topic, and create=false`,
      );
    }
    const topics = [{ topic, numPartitions: 1, replicationFactor: replication }];
    const create = (broker: Broker) =>
      this.request(() => broker.createTopics({ topics, timeout: 5_000 }));
    try {
      await create(this.#seed);
    } catch (error) {
      const cause = (error as KafkaError).errors?.[0] ?? error as KafkaError;
      if (cause.type === "NOT_CONTROLLER") {
        // Only with ZooKeeper; no topic at all cannot be asked for, so this asks for all.
        const { controllerId } = await this.request(() => this.#seed.metadata([]));
        await create(await this.node(controllerId));
      } else if (cause.type !== "TOPIC_ALREADY_EXISTS") {
        throw new RefusedError(`Cannot create topic "${topic}": ${cause.message}`, { cause });
      }
    }
  }
}

function explain(verb: string, cause: unknown): Error {
  if (cause instanceof RefusedError || cause instanceof ConnectionError) return cause;
  const { name, type, message } = cause as KafkaError;
  const isRefusal = WRONG_CREDENTIALS.test(type ?? name);
  return new (isRefusal ? RefusedError : ConnectionError)(`Cannot ${verb}: ${message}`, { cause });
}
