/**
 * One connection to a Postgres server.
 *
 * @module
 */

import type { Socket } from "node:net";
import type { Sql } from "postgres";
import type { ServerFacts } from "../../core/backend/contract.ts";
import { ConnectionError, RefusedError, TemporaryError } from "../../core/backend/errors.ts";
import { withLoginHelp } from "../../core/backend/kit/connecting_help.ts";
import { tlsVersionOf } from "../../core/backend/kit/tls_version.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import { answered, errorOf, isOfServer, lostError } from "./errors.ts";
import { factsOf } from "./facts.ts";
import { fatalErrorIn } from "./fatal.ts";
import { openSocket, silenceOf } from "./socket.ts";
import { isOfPooler, type Row, SESSION, type Statements } from "./statement.ts";
import type { Settings } from "./url.ts";

/** The client library. */
export type Postgres = typeof import("postgres");

/** The time limit for the last statements of a session before it is renewed, in milliseconds. */
const FAREWELL = 1_000;

/** The listeners of a connection. */
export interface LinkEvents {
  /** Called with each notification. */
  readonly onNotify: (channel: string, payload: string) => void;
  /** Called when the connection is lost, or cannot be opened. */
  readonly onLost: (error: Error) => void;
}

/** The backend's own connection. It does not reconnect: once lost, it stays lost. */
export class Link implements Statements {
  /** Settles once the connection is open. */
  readonly ready: Promise<void>;
  /** Whether the connection is lost, closed, or could not be opened. */
  lost = false;
  /** See `Statements`. */
  isPooled = false;
  /** The client, bound to this connection. */
  readonly #sql: Sql;
  readonly #events: LinkEvents;
  readonly #settings: Settings;
  #socket: Socket | undefined;
  /** The last bytes of the server. */
  #received: Uint8Array | undefined;
  #ended: Promise<void> | undefined;
  #reason: unknown;
  /** The number of unanswered statements. */
  #underway = 0;
  /** Statements that wait for the one before, if there is a pooler. */
  readonly #waiting: (() => void)[] = [];
  #onIdle: () => void = () => {};

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings The server, and the settings of the client.
   * @param events The listeners.
   */
  constructor(postgres: Postgres, settings: Settings, events: LinkEvents) {
    this.#events = events;
    this.#settings = settings;
    this.#sql = postgres({
      ...settings.client,
      ...{ socket: () => this.#connect() },
      max: 1,
      // The types allow only numbers. With null, the session never ends by itself.
      idle_timeout: null as unknown as number,
      max_lifetime: null as unknown as number,
      fetch_types: false,
      backoff: () => 0,
      onclose: () => this.#lose(),
      onnotice: () => {},
      ...{ onnotify: events.onNotify },
    }) as unknown as Sql;
    this.ready = this.#begin();
    this.ready.catch(() => {});
  }

  /** See `Statements`. */
  query(text: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    return this.#send(() => {
      const statement = this.#sql.unsafe(text, [...values], { prepare: !this.isPooled });
      return statement.values() as unknown as Promise<Row[]>;
    });
  }

  /** See `Statements`. */
  async run(text: string): Promise<void> {
    await this.#send(() => this.#sql.unsafe(text));
  }

  /**
   * Whether the connection leads through Pgpool-II, which loses the answer to a statement with
   * parameters if a notification arrives first.
   */
  async isThroughPgpool(): Promise<boolean> {
    try {
      const [row] = await this.query("select inet_client_port()::text", []);
      // The server names the port of whatever is connected to it. A Unix socket has none.
      if ((row?.[0] ?? undefined) === this.#socket?.localPort?.toString()) return false;
      // Only Pgpool-II answers. A server would log an error, so it is not asked without need.
      const version = await this.#send(async () => await this.#sql.unsafe("show pool_version"));
      return version.length > 0;
    } catch (error) {
      if (error instanceof RefusedError) return false;
      throw error;
    }
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return factsOf(this, tlsVersionOf(this.#socket));
  }

  /** Checks that the server answers. Closes the connection if the signal aborts first. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.run("select 1"));
    } catch (error) {
      this.cut(error);
      throw lostError(error);
    }
  }

  /** Closes the connection at once. */
  cut(reason: unknown): void {
    this.#reason = reason;
    this.#lose();
    this.#socket?.destroy();
  }

  /** Closes the connection after the pending statements. */
  end(reason: unknown): void {
    if (this.lost) return;
    this.#reason = reason;
    this.#leave();
    const idle = new Promise<void>((resolve) => {
      const stop = after(FAREWELL, resolve);
      this.#onIdle = () => {
        stop();
        resolve();
      };
    });
    this.#ended = idle.then(() => this.#shut());
  }

  /** Closes the connection. Resolves once the socket is closed. */
  async close(): Promise<void> {
    this.#lose();
    await this.#ended;
    await this.#destroy();
    await this.ready.catch(() => {});
    // If statements were waiting, the client has set a timer to reconnect. `#connect` then rejects.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  async #begin(): Promise<void> {
    const { endpoint } = this.#settings;
    // The limit of the client ends with the login, which a pooler answers before it has a server.
    const stop = endpoint.timeout === 0
      ? undefined
      : after(endpoint.timeout, () => this.cut(silenceOf(endpoint)));
    try {
      const result = await this.#sql.unsafe(SESSION).values();
      this.isPooled = isOfPooler(result);
      const limit = result[0]?.[1] ?? "0";
      // A listening session is idle while nothing is published.
      if (limit !== "0" && !this.isPooled) await this.#sql.unsafe("set idle_session_timeout = 0");
    } catch (cause) {
      this.#lose();
      throw this.#refusal(isOfServer(cause) ? cause : this.#reason ?? cause);
    } finally {
      stop?.();
    }
  }

  /** Nothing is sent on a lost session, so a retry is safe. */
  #check(): void {
    if (this.lost) {
      throw new TemporaryError("the connection to the server was lost", { cause: this.#reason });
    }
  }

  /**
   * Sends a statement, and settles like it. Closes the session after its last statement if the error
   * requires it.
   */
  async #send<Value>(statement: () => Promise<Value>): Promise<Value> {
    this.#check();
    this.#underway++;
    try {
      // PgBouncer takes the session back after each answer. If the next statement was sent before
      // that, its answer is lost.
      if (this.isPooled) await this.#turn();
      return await answered(statement(), (error) => this.end(error));
    } catch (error) {
      // The client knows only that the connection is closed.
      const reason = error instanceof ConnectionError ? this.#fatal ?? this.#reason : undefined;
      throw reason ? lostError(reason) : error;
    } finally {
      this.#waiting.shift()?.();
      if (--this.#underway === 0) this.#onIdle();
    }
  }

  /** Resolves once all earlier statements are answered. */
  async #turn(): Promise<void> {
    if (this.#underway > 1) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#check();
  }

  /** The error for a connection that could not be opened. */
  #refusal(cause: unknown): unknown {
    const { code } = Object(cause) as { code?: unknown };
    const { endpoint } = this.#settings;
    if (code === "CONNECT_TIMEOUT") {
      return silenceOf(endpoint);
    }
    const error = errorOf(cause);
    if (!(error instanceof RefusedError)) return cause;
    // The text is in the server's language, but the code is not.
    if (code === "28P01" || code === "28000" && endpoint.tls) {
      const way = "postgres://user:password@host/database";
      return new RefusedError(withLoginHelp(error.message, way), { cause });
    }
    if (code !== "28000") return error;
    return new RefusedError(`${error.message}; if the server wants TLS, add sslmode=require`, {
      cause,
    });
  }

  /** Opens the socket itself, so that it can destroy a half-open one. */
  async #connect(): Promise<Socket> {
    // If the server closes during the handshake, the client would retry forever without a pause.
    if (this.lost || this.#socket) throw lostError();
    const { endpoint } = this.#settings;
    const socket = await openSocket(endpoint, (socket) => this.#socket = socket);
    socket.on("data", (bytes: Uint8Array) => this.#received = bytes);
    // The client names the server by these properties in its errors.
    return Object.assign(socket, { host: endpoint.host, port: endpoint.port });
  }

  /** The reason that the server gave before it closed the connection. */
  get #fatal(): Error | undefined {
    return this.#received && fatalErrorIn(this.#received);
  }

  #lose(): void {
    if (this.lost) return;
    this.#reason = this.#fatal ?? this.#reason;
    this.#leave();
    this.#ended = this.#shut();
  }

  #leave(): void {
    this.lost = true;
    this.#events.onLost(lostError(this.#reason));
  }

  /**
   * Ends the client. Otherwise the next statement would open a new connection, which would not
   * listen.
   */
  async #shut(): Promise<void> {
    await this.#sql.end({ timeout: 0 }).catch(() => {});
    await this.#destroy();
  }

  async #destroy(): Promise<void> {
    const socket = this.#socket;
    if (!socket || socket.closed) return;
    const shut = new Promise((resolve) => socket.once("close", resolve));
    socket.destroy();
    await shut;
  }
}
