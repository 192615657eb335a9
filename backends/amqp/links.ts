/**
 * The connections of a backend: one to publish, and another one to subscribe and to read.
 *
 * A server that is short of memory or disk does not read from a publishing connection.
 * Subscriptions continue on the other one.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { RefusedError, TemporaryError } from "../../core/backend/errors.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import type { Dial } from "./dial.ts";
import { codeOf } from "./errors.ts";
import type { Table } from "./headers.ts";
import type { Link } from "./link.ts";

/** The time after the end of a consumer in which a refusal is temporary, in milliseconds. */
const GRACE = 5_000;

/** Options for `Links`. */
export interface LinksOptions {
  /** Runs before anything is published, for example to create the exchange. */
  readonly prepare?: (link: Link) => Promise<void>;
  /** Called with each new publishing connection, before it is used. */
  readonly onPublishing: (link: Link) => void;
  /** Called with each new subscribing connection, before it is used. */
  readonly onListening: (link: Link) => void;
}

/** The message of a token. */
export interface Token {
  /** The exchange. */
  readonly exchange: string;
  /** The routing key. */
  readonly key: string;
  /** The headers. */
  readonly headers: Table;
}

/** One connection for each role, or the user's connection for both. */
export class Links {
  readonly #publishing: RenewedConnection<Link>;
  readonly #listening: RenewedConnection<Link>;
  /** The connection on which the user may not publish tokens. */
  #refusing: Link | undefined;
  #endedAt = -Infinity;

  /**
   * @param dial Connects to the server.
   * @param options Options for the connections.
   */
  constructor(dial: Dial, { prepare, onPublishing, onListening }: LinksOptions) {
    this.#publishing = new RenewedConnection(async () => {
      const link = await dial.connect(prepare);
      onPublishing(link);
      if (dial.isShared) onListening(link);
      return await link.opened();
    });
    this.#listening = dial.isShared ? this.#publishing : new RenewedConnection(async () => {
      const link = await dial.connect();
      onListening(link);
      return link;
    });
  }

  /** Whether one of the connections was lost. */
  get lost(): boolean {
    return this.#publishing.lost || this.#listening.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#publishing === this.#listening
      ? this.#publishing.count
      : this.#publishing.count + this.#listening.count;
  }

  /** Whether the server blocks publishing. */
  get isBlocked(): boolean {
    return this.#publishing.current?.blocked !== undefined;
  }

  /** The publishing connection. */
  get publishing(): Link {
    return this.#publishing.current!;
  }

  /** The connection that a request of any kind may use. */
  get any(): Link {
    const { current } = this.#listening;
    return current && !current.lost ? current : this.publishing;
  }

  /** Opens the publishing connection, and the other one if it was lost. */
  async renew(): Promise<void> {
    const isHearing = this.#listening.current !== undefined;
    await Promise.all([this.#publishing.renew(), isHearing && this.#listening.renew()]);
  }

  /** The subscribing connection. It is opened at first use. */
  async listening(): Promise<Link> {
    if (!this.#listening.current) await this.#listening.renew();
    const link = this.#listening.current!;
    link.loss.throwIfAborted();
    return link;
  }

  /** Called when the server has ended a consumer, for example because its queue was deleted. */
  ended(): void {
    this.#endedAt = performance.now();
  }

  /**
   * Makes a refusal temporary right after a consumer has ended. If a virtual host or a user is
   * deleted, the server first revokes the rights, and later closes the connection.
   */
  judged(error: unknown): unknown {
    const isPassing = error instanceof RefusedError &&
      performance.now() - this.#endedAt < GRACE;
    return isPassing ? new TemporaryError(error.message, { cause: error }) : error;
  }

  /** Sends a no-op request on both connections. */
  async probe(signal: AbortSignal): Promise<void> {
    const links = new Set([this.#publishing.current, this.#listening.current]);
    await Promise.all(Array.from(links, (link) => link?.probe(signal)));
  }

  /**
   * Publishes a token.
   *
   * @throws {RefusedError} If the user may not publish, or the server blocks publishing.
   */
  async prove({ exchange, key, headers }: Token): Promise<void> {
    const link = this.publishing;
    if (link === this.#refusing) throw new RefusedError("the user may not publish a token");
    if (link.blocked !== undefined) throw blocked(link);
    const lane = await link.ask(link.proving.open());
    let forget = () => {};
    const block = new Promise<never>((_, reject) => {
      forget = link.onBlocked(() => reject(blocked(link)));
    });
    const confirmed = new Promise<void>((resolve, reject) => {
      lane.publish(
        exchange,
        key,
        Buffer.alloc(0),
        { headers },
        (error) => error ? reject(error) : resolve(),
      );
    });
    try {
      await Promise.race([block, link.ask(confirmed)]);
    } catch (error) {
      // After a refusal, the client only reports that the AMQP channel was closed.
      if (codeOf(link.proving.reason) === 403) this.#refusing = link;
      if (this.#refusing !== link) throw error;
      throw new RefusedError("the user may not publish a token", { cause: error });
    } finally {
      forget();
    }
  }

  /** Closes both connections. */
  async close(): Promise<void> {
    await Promise.all([this.#publishing.close(), this.#listening.close()]);
  }
}

function blocked(link: Link): RefusedError {
  return new RefusedError(`the server blocks publishing: ${link.blocked}`);
}
