/**
 * One connection to a Postgres server.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import type { Sql } from "postgres";
import { unlessAborted } from "../../core/util/abort.ts";
import { lostError, meaningOf, refusedError } from "./errors.ts";
import type { Settings } from "./settings.ts";

/** The client library. */
export type Postgres = typeof import("postgres");

/** How long a server may take to accept a session, in seconds. */
const TIMEOUT = 10;

/** The listeners of a connection. */
export interface LinkEvents {
  /** A notification has come. */
  readonly onNotify: (channel: string, payload: string) => void;
  /** The connection is lost, or could not be opened. */
  readonly onLost: (error: Error) => void;
}

/** A connection of the backend's own. It does not reconnect: once lost, it stays lost. */
export class Link {
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** The client, bound to this connection. */
  readonly sql: Sql;
  /** Whether the connection is lost, closed, or could not be opened. */
  lost = false;
  readonly #events: LinkEvents;
  #socket: Socket | undefined;
  #ended: Promise<void> | undefined;
  #reason: unknown;

  /**
   * Starts to connect.
   *
   * @param postgres The client library.
   * @param settings Where to connect.
   * @param events The listeners.
   */
  constructor(postgres: Postgres, settings: Settings, events: LinkEvents) {
    this.#events = events;
    this.sql = postgres({
      ...settings,
      ...{ socket: () => this.#connect(settings) },
      max: 1,
      // The types only know numbers. With null, the session never ends by itself.
      idle_timeout: null as unknown as number,
      max_lifetime: null as unknown as number,
      connect_timeout: TIMEOUT,
      fetch_types: false,
      backoff: () => 0,
      connection: { application_name: "broadcaster" },
      onclose: () => this.#lose(),
      onnotice: () => {},
      ...{ onnotify: events.onNotify },
    }) as unknown as Sql;
    this.ready = this.sql`select 1`.then(() => {}, (error) => {
      this.#lose();
      if (/^(refused|other)$/.test(meaningOf(error))) throw refusedError(error);
      if (error.code !== "CONNECT_TIMEOUT") throw error;
      const reason = `it did not answer for ${TIMEOUT} s, perhaps it is no Postgres server`;
      throw new Error(reason, { cause: error });
    });
    this.ready.catch(() => {});
  }

  /** Asks the server for a sign of life; cuts the connection if the signal aborts first. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.sql`select 1`);
    } catch (error) {
      this.#reason = error;
      this.#socket?.destroy();
      throw lostError(error);
    }
  }

  /** Closes it, and resolves once its socket is shut. */
  async close(): Promise<void> {
    this.#lose();
    const socket = this.#socket;
    if (socket && !socket.closed) {
      const shut = new Promise((resolve) => socket.once("close", resolve));
      socket.destroy();
      await shut;
    }
    await this.ready.catch(() => {});
    await this.#ended;
    // If statements were waiting, the client has set a timer to reconnect. `#connect` refuses that.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** Opens the socket: only a socket of our own can be destroyed when it is half-open. */
  #connect({ host, port }: Settings): Promise<Socket> {
    const hostname = String(host);
    return new Promise((resolve, reject) => {
      // If the server closes during the handshake, the client would retry forever without a pause.
      if (this.lost || this.#socket) return reject(lostError());
      const socket = connect(Number(port), hostname);
      this.#socket = socket;
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        // The client reads the server's name from these, for TLS and for its errors.
        resolve(Object.assign(socket, { host: hostname, port }));
      });
    });
  }

  #lose(): void {
    if (this.lost) return;
    this.lost = true;
    this.#events.onLost(lostError(this.#reason));
    // The next statement would open a new connection, which listens to nothing.
    this.#ended = this.sql.end({ timeout: 0 }).catch(() => {});
  }
}
