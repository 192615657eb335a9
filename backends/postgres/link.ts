/**
 * One connection to a Postgres server: its errors and its loss.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import type { Sql } from "postgres";
import { RefusedError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import type { Settings } from "./settings.ts";
import { isRefusal, lostError } from "./statement.ts";

/** The client library. */
export type Postgres = typeof import("postgres");

/** How long a server may take to let us in, in seconds. */
const TIMEOUT = 10;

/** Who is told of what. */
export interface LinkEvents {
  /** A notification has come. */
  readonly onNotify: (channel: string, payload: string) => void;
  /** It was open, or was to be, and is not any more. */
  readonly onLost: (error: Error) => void;
}

/** A connection of our own. Once it is lost, it stays so: it is never made again. */
export class Link {
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** The client, bound to this connection. */
  readonly sql: Sql;
  /** Whether it was open, or was to be, and is not any more. */
  lost = false;
  readonly #events: LinkEvents;
  #socket: Socket | undefined;
  #ended: Promise<void> | undefined;
  #reason: unknown;

  /**
   * @param postgres The client library.
   * @param settings Where to connect.
   * @param events Who is told of what.
   */
  constructor(postgres: Postgres, settings: Settings, events: LinkEvents) {
    this.#events = events;
    this.sql = postgres({
      ...settings,
      ...{ socket: () => this.#connect(settings) },
      max: 1,
      // Null, where the types know only numbers: the session never ends by itself.
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
      if (isRefusal(error)) throw new RefusedError(error.message, { cause: error });
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

  /** Ends it, and resolves once its socket is shut. */
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
    // With statements waiting, the client has set a timer to connect again, which `#connect` refuses.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }

  /** The socket is our own, so that a half-open one can be destroyed. */
  #connect({ host, port }: Settings): Promise<Socket> {
    const hostname = String(host);
    return new Promise((resolve, reject) => {
      // The client would try again for ever, without a pause, if the server closes while it greets.
      if (this.lost || this.#socket) return reject(lostError());
      const socket = connect(Number(port), hostname);
      this.#socket = socket;
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        // The client names the server by these, to the server's TLS and in its errors.
        resolve(Object.assign(socket, { host: hostname, port }));
      });
    });
  }

  #lose(): void {
    if (this.lost) return;
    this.lost = true;
    this.#events.onLost(lostError(this.#reason));
    // The next statement would open a new connection, without what was listened to.
    this.#ended = this.sql.end({ timeout: 0 }).catch(() => {});
  }
}
