/**
 * Connections to the brokers of one Kafka cluster.
 *
 * @module
 */

import type { Socket } from "node:net";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { after, deferred } from "../../core/util/timer.ts";
import { explain, hasMoved, LOST, refusal, UnreachableError } from "./errors.ts";
import {
  type Broker,
  type Connection,
  type ConnectionPool,
  greet,
  type Internals,
  type Metadata,
  quieten,
} from "./kafkajs.ts";
import { Topics } from "./topics.ts";

/** How the cluster is used. */
export interface ClusterOptions {
  /** Where to ask first; without them, what the client was given. */
  readonly seeds: readonly { readonly host: string; readonly port: number }[] | undefined;
  /** The replication factor of new topics, -1 for the broker's default, 0 to create none. */
  readonly replication: number;
}

/** How long a server may take to greet, and to check a password. */
const HANDSHAKE = 3_000;
/** How long leaders may take to be elected. */
const PATIENCE = 10_000;

/**
 * The connections to one cluster, from `connect` to the first loss: nothing is
 * opened again, all ends together. What comes next is a new object.
 */
export class Cluster {
  /** Aborted when the connections are lost or closed, with the reason. */
  readonly signal: AbortSignal;
  /** Its topics. */
  readonly topics: Topics;
  readonly #ending = new AbortController();
  readonly #options: ClusterOptions;
  readonly #kafka: Internals;
  readonly #brokers = new Map<string, Promise<Broker>>();
  readonly #pools = new Set<ConnectionPool>();
  readonly #watched = new WeakSet<Socket>();
  readonly #shut: Promise<void>[] = [];
  readonly #nodes = new Map<number, { readonly host: string; readonly port: number }>();
  #seed!: Broker;

  /**
   * @param kafka What kafkajs calls a cluster.
   * @param options How it is used.
   */
  constructor(kafka: Internals, options: ClusterOptions) {
    this.#kafka = kafka;
    this.#options = options;
    this.signal = this.#ending.signal;
    this.topics = new Topics(this, options.replication);
  }

  /** The broker that was found first. */
  get seed(): Broker {
    return this.#seed;
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

  /** Where the brokers are. */
  learn(brokers: Metadata["brokers"]): void {
    for (const { nodeId, host, port } of brokers) this.#nodes.set(nodeId, { host, port });
  }

  /** Opens the connection to a broker, once. */
  async node(id: number): Promise<Broker> {
    const node = this.#nodes.get(id);
    if (!node) throw new UnreachableError(`broker ${id} has no known address`);
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
    try {
      return await broker;
    } catch (error) {
      if (error instanceof RefusedError || this.signal.aborted) throw error;
      const { message, cause } = error as Error;
      throw new UnreachableError(message, { cause });
    }
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
    this.signal.throwIfAborted();
    const { promise, resolve } = deferred();
    const stop = after(milliseconds, resolve);
    // Many pause at a time, when there are many channels.
    const forget = onAbort(this.signal, resolve);
    await promise;
    stop();
    forget();
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
      await greet(broker);
      this.signal.throwIfAborted();
      this.#watch(broker, connectionPool.pool[0], () => false);
      return broker;
    } catch (error) {
      const failure = this.signal.aborted ? this.signal.reason : refusal(connectionPool, error);
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
}
