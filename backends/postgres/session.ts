/**
 * The sessions of the Postgres backend.
 *
 * @module
 */

import { connect, type Socket } from "node:net";
import type { Options, Sql } from "postgres";
import { unlessAborted } from "../../abort.ts";
import type { Tail } from "../../backend.ts";
import { RefusedError } from "../../errors.ts";
import { RecordSource } from "../../record_source.ts";
import { batches, guard, isRefusal, lostError, quote, statement } from "./statement.ts";

/** One role's session with the server. Once it is lost, it stays so. */
export interface Session {
  /** Whether it was open, or was to be, and is not any more. */
  readonly lost: boolean;
  /** Settles once it is open. */
  readonly ready: Promise<void>;
  /** Sends a notification for each payload, in order. */
  notify(channel: string, payloads: readonly string[]): readonly Promise<unknown>[];
  /** Listens, and resolves once the server has confirmed. */
  listen(channel: string): Promise<Tail>;
  /** Asks the server for a sign of life; cuts the session if the signal aborts first. */
  probe(signal: AbortSignal): Promise<void>;
  /** Ends it, and resolves once its socket is shut. */
  close(): Promise<void>;
}

type Postgres = typeof import("postgres");

/**
 * A session of our own: one connection that is never made again. Not the
 * client's own `listen()`, which listens again by itself and says nothing of
 * what it lost in between.
 */
export class OwnSession implements Session {
  /** See `Session`. */
  readonly ready: Promise<void>;
  /** See `Session`. */
  lost = false;
  readonly #sql: Sql;
  readonly #tails = new Map<string, RecordSource>();
  #socket: Socket | undefined;
  #ended: Promise<void> | undefined;
  #reason: unknown;

  /**
   * @param postgres The client library.
   * @param settings Where to connect.
   */
  constructor(postgres: Postgres, settings: Options<Record<never, never>>) {
    this.#sql = postgres({
      ...settings,
      ...{ socket: () => this.#connect(settings) },
      max: 1,
      // Null, where the types know only numbers: the session never ends by itself.
      idle_timeout: null as unknown as number,
      max_lifetime: null as unknown as number,
      connect_timeout: 10,
      fetch_types: false,
      backoff: () => 0,
      connection: { application_name: "broadcaster" },
      onclose: () => this.#lose(),
      onnotice: () => {},
      // A channel that nobody listens to any more may still bring what was under way.
      ...{
        onnotify: (channel: string, payload: string) => this.#tails.get(channel)?.push({ payload }),
      },
    }) as unknown as Sql;
    this.ready = this.#sql`select 1`.then(() => {}, (error) => {
      this.#lose();
      throw isRefusal(error) ? new RefusedError(error.message, { cause: error }) : error;
    });
    this.ready.catch(() => {});
  }

  /** See `Session`. */
  notify(channel: string, payloads: readonly string[]): readonly Promise<unknown>[] {
    return batches(payloads).flatMap((batch) => {
      const accepted = guard(statement(this.#sql, channel, batch));
      return batch.map(() => accepted);
    });
  }

  /** See `Session`. */
  async listen(channel: string): Promise<Tail> {
    const source = new RecordSource(async () => {
      if (this.#tails.get(channel) === source) this.#tails.delete(channel);
      if (!this.lost) await this.#sql.unsafe(`unlisten ${quote(channel)}`);
    });
    this.#tails.set(channel, source);
    try {
      await guard(this.#sql.unsafe(`listen ${quote(channel)}`));
    } catch (error) {
      this.#tails.delete(channel);
      throw error;
    }
    return source;
  }

  /** See `Session`. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    try {
      await unlessAborted(signal, this.#sql`select 1`);
    } catch (error) {
      this.#reason = error;
      this.#socket?.destroy();
      throw lostError(error);
    }
  }

  /** See `Session`. */
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
  }

  /** The socket is our own, so that a half-open one can be destroyed. */
  #connect({ host, port }: Options<Record<never, never>>): Promise<Socket> {
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
    const error = lostError(this.#reason);
    for (const source of this.#tails.values()) source.error(error);
    this.#tails.clear();
    // The next statement would open a new connection, without what was listened to.
    this.#ended = this.#sql.end({ timeout: 0 }).catch(() => {});
  }
}
