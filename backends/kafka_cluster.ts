/**
 * Connections to the brokers of one Kafka cluster, and the requests on them
 * that need no consumer group. kafkajs has both, and keeps them to itself:
 * what is used of its insides is declared here, for the frozen version 2.2.4.
 *
 * @module
 */

import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Broker as KafkaBroker, ITopicConfig } from "kafkajs";
import type { BackendRecord, Tail } from "../backend.ts";
import { ConnectionError, RefusedError } from "../errors.ts";
import { BacklogError } from "../record_source.ts";
import { unlessAborted } from "../timer.ts";

/** What kafkajs rejects with; `type` is Kafka's name for what a broker answered. */
export interface KafkaError extends Error {
  readonly type?: string;
  readonly retriable?: boolean;
  readonly errors?: readonly KafkaError[];
}

/** A record as kafkajs decodes it. */
export interface Message {
  readonly offset: string;
  readonly value: Uint8Array | null;
  readonly isControlRecord?: boolean;
}

/** One TCP connection. */
interface Connection {
  readonly socket?: Socket;
  readonly requestQueue: { readonly pending: unknown[]; scheduleCheckPendingRequests(): void };
  logError: () => void;
  connectionStatus: string;
  isConnected(): boolean;
  rejectRequests(reason: Error): void;
  disconnect(): Promise<unknown>;
}

/** Two connections to one broker: the second for fetches, the first for everything else. */
interface ConnectionPool {
  readonly host: string;
  readonly port: number;
  readonly pool: readonly [Connection, Connection];
  getConnection(index: 1): Promise<Connection>;
}

/** One broker, with what kafkajs does not declare. */
export interface Broker extends KafkaBroker {
  readonly connectionPool: ConnectionPool;
  createTopics(request: { timeout: number; topics: readonly ITopicConfig[] }): Promise<unknown>;
  listOffsets(request: {
    isolationLevel: number;
    topics: readonly { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{
    readonly responses: readonly { partitions: readonly { partition: number; offset: string }[] }[];
  }>;
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

/** How long a server may take to greet, and to check a password. */
const HANDSHAKE = 3_000;
/** How long leaders may take to be elected. */
const PATIENCE = 10_000;
const LOST = /^KafkaJS(Connection(Closed)?Error|RequestTimeoutError|LockTimeout)$/;
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
]);

/** Whether a broker did not do what was asked because another leads the partition, or none yet. */
export function hasMoved(error: unknown): boolean {
  return MOVED.has((error as KafkaError).type ?? "");
}

/** An error of kafkajs as one that says whether trying again may help. */
export function explain(cause: unknown): Error {
  const { name, type, retriable, message } = cause as KafkaError;
  const isAnswer = type !== undefined || name === "KafkaJSSASLAuthenticationError";
  if (isAnswer && retriable === false) return new RefusedError(message, { cause });
  return LOST.test(name) ? new ConnectionError(message, { cause }) : cause as Error;
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
  readonly #watched = new WeakSet<Socket>();
  readonly #shut: Promise<void>[] = [];
  readonly #nodes = new Map<number, { readonly host: string; readonly port: number }>();
  readonly #places = new Map<string, Promise<readonly Place[]>>();
  #seed!: Broker;

  /**
   * @param kafka What kafkajs calls a cluster.
   * @param options How it is used.
   */
  constructor(kafka: Internals, options: ClusterOptions) {
    this.#kafka = kafka;
    this.#options = options;
    this.signal = this.#ending.signal;
  }

  /** Connects to the first server that answers. */
  async connect(): Promise<void> {
    const tried = new Set<string>();
    let failure: unknown;
    for (let index = 0;; index++) {
      const { seeds } = this.#options;
      // Without a destination the client's own servers take turns.
      const destination = seeds?.[index % seeds.length] ?? {};
      const pool = await this.#kafka.connectionPoolBuilder.build(destination);
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
    if (!node) throw new ConnectionError(`broker ${id} has no known address`);
    const name = `${node.host}:${node.port}`;
    let broker = this.#brokers.get(name);
    if (!broker) {
      const { host, port } = node;
      broker = this.#kafka.connectionPoolBuilder.build({ host, port }).then((pool) =>
        this.#open(pool)
      );
      this.#brokers.set(name, broker);
      broker.catch(() => this.#brokers.delete(name));
    }
    return await broker;
  }

  /** Opens the connection for fetches. `isIdle` tells whether its end is no loss. */
  async openFetches(broker: Broker, isIdle: () => boolean): Promise<void> {
    const connection = await this.request(() => broker.connectionPool.getConnection(1));
    this.#watch(broker, connection, isIdle);
  }

  /** Sends a request. A connection that breaks meanwhile is the end of all of them. */
  async request<Response>(send: () => Promise<Response>): Promise<Response> {
    this.signal.throwIfAborted();
    try {
      return await unlessAborted(this.signal, send());
    } catch (error) {
      if (LOST.test((error as Error).name)) this.end(explain(error));
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

  /** Looks for the partitions of a topic again when they are needed. */
  forget(topic: string): void {
    this.#places.delete(topic);
  }

  /** The partitions of a topic as they are now. */
  async look(topic: string): Promise<readonly Place[]> {
    const { brokers, topicMetadata } = await this.request(() => this.#seed.metadata([topic]));
    for (const { nodeId, host, port } of brokers) this.#nodes.set(nodeId, { host, port });
    return (topicMetadata[0]?.partitionMetadata ?? [])
      .map(({ partitionId, leader }) => ({ partition: partitionId, leader }))
      .sort((one, other) => one.partition - other.partition);
  }

  /** Calls again, after short and growing waits, while leaders are elected or moved. */
  async settle<Result>(
    call: (attempt: number) => Promise<Result>,
    patience: number = PATIENCE,
  ): Promise<Result> {
    const deadline = Date.now() + patience;
    for (let attempt = 0;; attempt++) {
      try {
        return await call(attempt);
      } catch (error) {
        if (!hasMoved(error) || Date.now() > deadline) throw error;
      }
      await this.pause(Math.min(2 ** (attempt + 1), 250));
    }
  }

  /** Waits, unless the connections end. */
  async pause(milliseconds: number): Promise<void> {
    await delay(milliseconds, undefined, { signal: this.signal }).catch(() => {});
    this.signal.throwIfAborted();
  }

  /** Asks every open connection but those for fetches for a sign of life. */
  async ping(): Promise<void> {
    const brokers = await Promise.allSettled(this.#brokers.values());
    await Promise.all(brokers.map(async (broker) => {
      if (broker.status === "fulfilled") await this.request(() => broker.value.apiVersions());
    }));
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
    await Promise.all(this.#shut);
  }

  async #open(connectionPool: ConnectionPool): Promise<Broker> {
    this.signal.throwIfAborted();
    this.#pools.add(connectionPool);
    for (const connection of connectionPool.pool) quieten(connection);
    const { brokerPool, rootLogger } = this.#kafka;
    const broker = brokerPool.createBroker({ connectionPool, logger: rootLogger });
    // kafkajs limits the wait for a socket, and not that for what comes first on it.
    const timer = setTimeout(() => {
      this.#cut(connectionPool, new ConnectionError(`no answer from ${connectionPool.host}`));
    }, HANDSHAKE);
    try {
      await broker.connect();
      this.signal.throwIfAborted();
      this.#watch(broker, connectionPool.pool[0], () => false);
      return broker;
    } catch (error) {
      const failure = this.signal.aborted ? this.signal.reason : explain(error);
      this.#cut(connectionPool, failure);
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  }

  #watch({ connectionPool }: Broker, { socket }: Connection, isIdle: () => boolean): void {
    if (!socket || this.#watched.has(socket)) return;
    this.#watched.add(socket);
    const lost = (cause?: unknown) => {
      if (isIdle()) return;
      const { host, port } = connectionPool;
      this.end(new ConnectionError(`${host}:${port} closed the connection`, { cause }));
    };
    // A small request would wait for the answer to the one before.
    socket.setNoDelay(true);
    for (const event of ["error", "end", "close"]) socket.once(event, lost);
  }

  #cut({ pool }: ConnectionPool, reason: Error): void {
    for (const connection of pool) {
      const { socket } = connection;
      const isConnected = connection.isConnected();
      connection.rejectRequests(reason);
      // Of a connection that is up this stops the timers, of another one the error does.
      if (isConnected) void connection.disconnect();
      // What is being encoded now would otherwise still be written, and wait for ever.
      connection.connectionStatus = "disconnected";
      if (!socket || socket.destroyed) continue;
      this.#shut.push(new Promise((resolve) => socket.once("close", () => resolve())));
      socket.destroy(isConnected ? undefined : reason);
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
      throw new RefusedError(`there is no topic "${topic}", and create=false`);
    }
    const topics = [{ topic, numPartitions: 1, replicationFactor: replication }];
    const create = (broker: Broker) =>
      this.request(() => broker.createTopics({ topics, timeout: 5_000 }));
    try {
      await create(this.#seed);
    } catch (error) {
      const cause = (error as KafkaError).errors?.[0] ?? error as KafkaError;
      if (cause.type === "NOT_CONTROLLER") {
        // Only with ZooKeeper. Metadata of no topic cannot be asked for, so this asks for all.
        const metadata: unknown = await this.request(() => this.#seed.metadata([]));
        await create(await this.node((metadata as { controllerId: number }).controllerId));
      } else if (cause.type !== "TOPIC_ALREADY_EXISTS") throw explain(cause);
    }
  }
}

/** Leaves what goes wrong to the core, instead of the client's logger. */
function quieten(connection: Connection): void {
  const { requestQueue } = connection;
  const schedule = requestQueue.scheduleCheckPendingRequests;
  connection.logError = () => {};
  // It sets a timer in the past after every response, of which Node 24 warns.
  requestQueue.scheduleCheckPendingRequests = () => {
    if (requestQueue.pending.length > 0) schedule.call(requestQueue);
  };
}

/** What a fetch brings of one partition, at most. */
const MAX_FETCH = 1024 * 1024;
/** What may wait in a tail before its partitions are left out of the fetches. */
const MAX_WAITING = 4 * 1024 * 1024;
/** How long a fetch waits for the first record: a tail that joins waits as long. */
const MAX_WAIT = 100;
/** How often connections are used, which keeps them open, and new partitions looked for. */
const REFRESH = 30_000;

/** How far a tail has read one partition. */
interface Position {
  readonly tail: TopicTail;
  readonly partition: number;
  offset: number;
}

/** The fetches from one leader, one after the other. */
interface Loop {
  readonly positions: Set<Position>;
  /** The fetch that is under way. */
  flight?: Promise<void> | undefined;
  /** Ends the waiting for a tail that takes more. */
  wake?: (() => void) | undefined;
}

/** Reads the topics of all tails, in one loop of fetches for each leader. */
export class Reader {
  /** Where it reads. */
  readonly cluster: Cluster;
  readonly #tails = new Set<TopicTail>();
  readonly #loops = new Map<number, Loop>();
  readonly #runs = new Set<Promise<void>>();

  /** @param cluster Where it reads. */
  constructor(cluster: Cluster) {
    this.cluster = cluster;
    const timer = setInterval(() => void this.#refresh().catch(() => {}), REFRESH);
    cluster.signal.addEventListener("abort", () => {
      clearInterval(timer);
      for (const tail of this.#tails) tail.fail(cluster.signal.reason);
      for (const { wake } of this.#loops.values()) wake?.();
    }, { once: true });
  }

  /** Reads a topic from its end. */
  async tail(topic: string): Promise<TopicTail> {
    const tail = new TopicTail(topic, () => this.#wake(), () => this.#tails.delete(tail));
    try {
      await this.cluster.settle(async () => {
        const places = await this.cluster.places(topic, true);
        const ends = await Promise.all(places.map((place) => this.#end(topic, place)));
        this.#tails.add(tail);
        places.forEach((place, index) => this.#join(tail, place, ends[index]!));
      });
      return tail;
    } catch (error) {
      throw explain(error);
    }
  }

  /** Resolves when every fetch that is under way is answered. */
  async ping(): Promise<void> {
    await Promise.all([...this.#loops.values()].map(({ flight }) => flight));
  }

  /** Resolves when nothing runs any more, after the connections have ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#runs);
  }

  async #end(topic: string, { partition, leader }: Place): Promise<number> {
    const { cluster } = this;
    const broker = await cluster.node(leader);
    const topics = [{ topic, partitions: [{ partition, timestamp: -1 }] }];
    const { responses } = await cluster.request(() =>
      broker.listOffsets({ isolationLevel: 0, topics })
    );
    return Number(responses[0]?.partitions[0]?.offset);
  }

  #join(tail: TopicTail, { partition, leader }: Place, offset: number): void {
    tail.partitions.add(partition);
    this.#place({ tail, partition, offset }, leader);
  }

  #place(position: Position, leader: number): void {
    const loop = this.#loops.get(leader);
    if (loop) {
      loop.positions.add(position);
      loop.wake?.();
      return;
    }
    const started = { positions: new Set([position]) };
    this.#loops.set(leader, started);
    this.#track(this.#run(leader, started));
  }

  #track(run: Promise<void>): void {
    const ended = run.catch(() => {}).then(() => void this.#runs.delete(ended));
    this.#runs.add(ended);
  }

  #wake(): void {
    for (const { wake } of this.#loops.values()) wake?.();
  }

  async #run(leader: number, loop: Loop): Promise<void> {
    const { cluster } = this;
    try {
      const broker = await cluster.node(leader);
      await cluster.openFetches(broker, () => !this.#loops.has(leader));
      while (loop.positions.size > 0) {
        cluster.signal.throwIfAborted();
        const wanted: Position[] = [];
        for (const position of loop.positions) {
          if (!this.#tails.has(position.tail)) loop.positions.delete(position);
          else if (position.tail.isHungry) wanted.push(position);
        }
        if (wanted.length > 0) {
          loop.flight = this.#fetch(broker, loop, wanted, MAX_WAIT);
          await loop.flight;
        } else if (loop.positions.size > 0) {
          loop.flight = undefined;
          await new Promise<void>((resolve) => loop.wake = resolve);
          loop.wake = undefined;
        }
      }
    } catch (error) {
      for (const { tail } of loop.positions) this.#fail(tail, explain(error));
    } finally {
      this.#loops.delete(leader);
    }
  }

  async #fetch(
    broker: Broker,
    loop: Loop,
    positions: Position[],
    maxWaitTime: number,
  ): Promise<void> {
    const topics = new Map<string, Map<number, Position>>();
    for (const position of positions) {
      const { topic } = position.tail;
      const partitions = topics.get(topic) ?? new Map();
      topics.set(topic, partitions.set(position.partition, position));
    }
    const request = [...topics].map(([topic, partitions]) => ({
      topic,
      partitions: [...partitions.values()].map(({ partition, offset }) => ({
        partition,
        fetchOffset: String(offset),
        maxBytes: MAX_FETCH,
      })),
    }));
    try {
      const { responses }: FetchResponse = await this.cluster.request(() =>
        broker.fetch({ isolationLevel: 0, maxWaitTime, maxBytes: 8 * MAX_FETCH, topics: request })
      );
      for (const { topicName, partitions } of responses) {
        for (const { partition, messages } of partitions) {
          const position = topics.get(topicName)?.get(partition);
          if (position) take(position, messages);
        }
      }
    } catch (error) {
      if (this.cluster.signal.aborted) throw error;
      // One partition fails the response as a whole: it is found by asking for each.
      if (positions.length === 1) return this.#miss(loop, positions[0]!, error);
      for (const position of positions) await this.#fetch(broker, loop, [position], 0);
    }
  }

  /** A partition that cannot be read: another broker may lead it by now. */
  #miss(loop: Loop, position: Position, error: unknown): void {
    const { tail, partition, offset } = position;
    loop.positions.delete(position);
    if (hasMoved(error)) return this.#track(this.#follow(position));
    const { name, type, message } = error as KafkaError;
    if (type === "OFFSET_OUT_OF_RANGE") {
      const place = `partition ${partition} of "${tail.topic}"`;
      const reason = `Cannot go on in ${place}: offset ${offset} is deleted`;
      return this.#fail(tail, new BacklogError(reason, { cause: error }));
    }
    if (name !== "KafkaJSNotImplemented") return this.#fail(tail, explain(error));
    const help = "register a codec for it in CompressionCodecs of kafkajs";
    this.#fail(tail, new RefusedError(`${message}, ${help}`, { cause: error }));
  }

  async #follow(position: Position): Promise<void> {
    const { tail, partition } = position;
    try {
      await this.cluster.pause(50);
      const places = await this.cluster.settle(() => this.cluster.look(tail.topic), 2_000);
      const place = places.find((place) => place.partition === partition);
      if (!place) throw new ConnectionError(`partition ${partition} of "${tail.topic}" is gone`);
      this.#place(position, place.leader);
    } catch (error) {
      this.#fail(tail, error);
    }
  }

  #fail(tail: TopicTail, reason: unknown): void {
    this.#tails.delete(tail);
    tail.fail(reason);
  }

  async #refresh(): Promise<void> {
    await this.cluster.ping();
    for (const tail of this.#tails) {
      const places = await this.cluster.look(tail.topic).catch(() => []);
      if (!this.#tails.has(tail)) continue;
      for (const place of places) {
        if (!tail.partitions.has(place.partition)) this.#join(tail, place, 0);
      }
    }
  }
}

interface FetchResponse {
  readonly responses: readonly {
    readonly topicName: string;
    readonly partitions: readonly { partition: number; messages: readonly Message[] }[];
  }[];
}

function take(position: Position, messages: readonly Message[]): void {
  const records: BackendRecord[] = [];
  for (const { offset, value, isControlRecord } of messages) {
    // A batch comes whole, also if it begins before the offset that was asked for.
    if (Number(offset) < position.offset) continue;
    position.offset = Number(offset) + 1;
    // Copied: a record would keep the whole response in memory.
    if (value !== null && !isControlRecord) records.push({ payload: new Uint8Array(value) });
  }
  if (records.length > 0) position.tail.push(records);
}

/** The live end of a topic. What it cannot hold stays on the broker: its stream is filled on demand. */
class TopicTail implements Tail {
  readonly records: ReadableStream<readonly BackendRecord[]>;
  readonly topic: string;
  readonly partitions = new Set<number>();
  #controller!: ReadableStreamDefaultController<readonly BackendRecord[]>;
  #failure: { readonly reason: unknown } | undefined;
  #isDone = false;

  constructor(topic: string, wake: () => void, cancel: () => void) {
    this.topic = topic;
    this.records = new ReadableStream<readonly BackendRecord[]>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: () => {
        this.#settle();
        wake();
      },
      cancel: () => {
        this.#isDone = true;
        cancel();
        wake();
      },
    }, { highWaterMark: MAX_WAITING, size: sizeOf });
  }

  get isHungry(): boolean {
    return (this.#controller.desiredSize ?? 0) > 0;
  }

  push(records: readonly BackendRecord[]): void {
    if (!this.#isDone && !this.#failure) this.#controller.enqueue(records);
  }

  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#settle();
  }

  /** A stream that errors drops what is queued: the failure waits until that is read. */
  #settle(): void {
    if (this.#isDone || !this.#failure || this.#controller.desiredSize !== MAX_WAITING) return;
    this.#isDone = true;
    this.#controller.error(this.#failure.reason);
  }
}

function sizeOf(records: readonly BackendRecord[] | undefined): number {
  return (records ?? []).reduce((size, { payload }) => size + payload.length + 100, 0);
}
