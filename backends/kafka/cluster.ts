/**
 * Connections to the brokers of one Kafka cluster.
 *
 * @module
 */

import type { Socket } from "node:net";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { silentError } from "../../core/backend/kit/connecting_help.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { inBackground } from "../../core/util/background.ts";
import { after, deferred } from "../../core/util/timer.ts";
import { explain, isLoss, means, refusal, UnreachableError } from "./errors.ts";
import {
  type Broker,
  type Connection,
  type ConnectionPool,
  greet,
  type Internals,
  type Metadata,
  prepare,
  throttleTime,
} from "./kafkajs.ts";
import { Topics } from "./topics.ts";

/** Options for a cluster. */
export interface ClusterOptions {
  /** The servers to connect to first. By default, the servers of the user's client. */
  readonly seeds: readonly { readonly host: string; readonly port: number }[] | undefined;
  /** The replication factor of new topics: -1 for the broker's default, 0 to create none. */
  readonly replication: number;
}

/**
 * The time limit for the first answer of a server, and for checking a password, in milliseconds.
 */
const HANDSHAKE = 3_000;
/** The time that a call waits for the election of leaders, in milliseconds. The core waits longer. */
const PATIENCE = 2_000;

/**
 * The connections to one cluster. The first loss ends all of them, and nothing is opened again: the
 * next connections are another object.
 */
export class Cluster {
  /** Aborted when the connections are lost or closed, with the reason. */
  readonly signal: AbortSignal;
  /** The topics of the cluster. */
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
   * @param kafka A cluster of kafkajs.
   * @param options Options for the cluster.
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

  /** Number of open connections. */
  get connections(): number {
    return [...this.#pools].flatMap(({ pool }) => pool).filter((one) => one.isConnected()).length;
  }

  /** Connects to the first server that answers. */
  async connect(): Promise<void> {
    const tried = new Set<string>();
    let failure: unknown;
    for (let index = 0;; index++) {
      const { seeds } = this.#options;
      // Without a destination, kafkajs tries the client's own servers in turn.
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

  /** Remembers the addresses of brokers. */
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
      throw new UnreachableError(
        `cannot reach broker ${id} at ${name}, the address in its advertised.listeners: ${message}`,
        { cause },
      );
    }
  }

  /**
   * Opens the connection for fetches. The end of this connection is not a loss while `isIdle()`.
   */
  async openFetches(broker: Broker, isIdle: () => boolean): Promise<void> {
    const connection = await this.request(() => broker.connectionPool.getConnection(1));
    this.#watch(broker, connection, isIdle);
  }

  /** Sends a request. If its connection is lost meanwhile, all connections end. */
  async request<Response>(send: () => Promise<Response>): Promise<Response> {
    this.signal.throwIfAborted();
    try {
      return await unlessAborted(this.signal, send());
    } catch (error) {
      if (isLoss(error)) this.end(explain(error));
      this.signal.throwIfAborted();
      // The core retries this call once, with new connections.
      if (means(error, "unknown")) {
        this.end(new ConnectionError((error as Error).message, { cause: error }));
      }
      throw error;
    }
  }

  /** Retries a call, with growing pauses, while leaders are elected or moved. */
  async settle<Result>(
    call: (attempt: number) => Promise<Result>,
    patience: number = PATIENCE,
  ): Promise<Result> {
    const deadline = Date.now() + patience;
    for (let attempt = 0;; attempt++) {
      try {
        return await call(attempt);
      } catch (error) {
        if (!means(error, "moved") || Date.now() > deadline) throw error;
      }
      await this.pause(Math.min(2 ** (attempt + 1), 250));
    }
  }

  /** Waits, unless the connections end. */
  async pause(milliseconds: number): Promise<void> {
    this.signal.throwIfAborted();
    const { promise, resolve } = deferred();
    const stop = after(milliseconds, resolve);
    // With many channels, many callers pause at the same time.
    const forget = onAbort(this.signal, resolve);
    await promise;
    stop();
    forget();
    this.signal.throwIfAborted();
  }

  /**
   * Sends a request on every open connection except those for fetches. A connection that a quota
   * delays counts as alive.
   */
  async ping(): Promise<void> {
    const brokers = await Promise.allSettled(this.#brokers.values());
    await Promise.all(brokers.map(async (broker) => {
      if (broker.status === "rejected") return;
      const { value } = broker;
      if (throttleTime(value.connectionPool.pool[0]) > 0) return;
      await this.request(() => value.apiVersions());
    }));
  }

  /** Destroys every connection. */
  end(reason: Error): void {
    if (this.signal.aborted) return;
    this.#ending.abort(reason);
    for (const pool of this.#pools) this.#cut(pool, reason);
  }

  /** Resolves when the sockets are closed. Call `end()` first. */
  async shut(): Promise<void> {
    await Promise.allSettled(this.#brokers.values());
    await Promise.all(this.#shut);
  }

  async #open(connectionPool: ConnectionPool): Promise<Broker> {
    this.signal.throwIfAborted();
    this.#pools.add(connectionPool);
    for (const connection of connectionPool.pool) prepare(connection);
    const { brokerPool, rootLogger } = this.#kafka;
    const broker = brokerPool.createBroker({ connectionPool, logger: rootLogger });
    // kafkajs limits how long a socket takes to open, but not how long the first answer takes.
    let silence: Error | undefined;
    const timer = setTimeout(() => {
      const { host, port, pool: [{ ssl }] } = connectionPool;
      const server = `${host}:${port}`;
      const isSecure = Boolean(ssl);
      silence = silentError({ server, limit: HANDSHAKE, product: "Kafka", isSecure });
      this.#cut(connectionPool, silence);
    }, HANDSHAKE);
    try {
      await broker.connect();
      await greet(broker);
      this.signal.throwIfAborted();
      this.#watch(broker, connectionPool.pool[0], () => false);
      return broker;
    } catch (error) {
      const failure = this.signal.aborted
        ? this.signal.reason
        : silence ?? refusal(connectionPool, error);
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
    // Disables Nagle's algorithm. Otherwise a small request waits until the one before it is
    // acknowledged.
    socket.setNoDelay(true);
    for (const event of ["error", "end", "close"]) socket.once(event, lost);
  }

  #cut({ pool }: ConnectionPool, reason: Error): void {
    for (const connection of pool) {
      const { socket } = connection;
      const isConnected = connection.isConnected();
      connection.rejectRequests(reason);
      // This stops the timers of an open connection. The error stops the timers of the others.
      if (isConnected) inBackground(connection.disconnect());
      // A request that is being encoded would otherwise still be written, and wait forever.
      connection.connectionStatus = "disconnected";
      if (!socket || socket.destroyed) continue;
      this.#shut.push(new Promise((resolve) => socket.once("close", () => resolve())));
      socket.destroy(isConnected ? undefined : reason);
    }
  }
}
