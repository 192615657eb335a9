/**
 * Channels over PostgreSQL's LISTEN and NOTIFY.
 *
 * ## URLs
 *
 * `postgres://[[user][:password]@]host[:port][/database]`, or `postgresql://`.
 * The parameters are the options of {@linkcode PostgresOptions}. The connection must be a session
 * of its own: a pooler in transaction mode drops LISTEN. A process has one connection to publish,
 * and one to listen.
 *
 * ## Delivery
 *
 * At most once, in the order of commit. Messages that are published while the connection is lost
 * are lost too, and a gap says so. A payload is text of at most 7,999 bytes without NUL, a channel
 * name has at most 63 bytes; longer ones are refused.
 *
 * ## Escape hatch
 *
 * Pass a client of the library `postgres` as `sql`, and its connections and its own `listen()` are
 * used. It publishes one statement at a time, and is never closed.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { postgres } from "@broadcaster/broadcaster/postgres";
 * import connect from "postgres";
 *
 * const sql = connect("postgres://localhost/app");
 * const broadcast = new Broadcast(postgres({ sql }));
 * ```
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Payload,
  Tail,
} from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import type { Postgres } from "./link.ts";
import { BorrowedSession } from "./pubsub/borrowed_session.ts";
import { OwnSession, type Session } from "./pubsub/session.ts";
import { RenewedSession } from "./renewed_session.ts";
import {
  checkSql,
  checkUnused,
  type ConnectionOptions,
  connectionParameters,
  settingsOf,
  shownAs,
} from "./settings.ts";

export type { ConnectionOptions } from "./settings.ts";

/** NOTIFY's limit: "In the default configuration it must be shorter than 8000 bytes". */
const PAYLOAD_LIMIT = 7_999;
/** NAMEDATALEN - 1: LISTEN would cut a longer name without an error. */
const NAME_LIMIT = 63;
/** The alternative to a client library that cannot be imported. */
const FACTORY = "postgres({ sql })";

/** One session to publish and one to listen, however many channels there are. */
export class PostgresBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres";
  /** Where it connects to, as it appears in messages. */
  readonly address: string;
  /** LISTEN and NOTIFY: text, without a log. */
  readonly features: BackendFeatures = { crossProcess: true, binary: false };
  readonly #publisher: RenewedSession<Session>;
  readonly #listener: RenewedSession<Session>;

  /**
   * A backend that connects with `connect()`.
   *
   * @param address Where it connects to, as it appears in messages.
   * @param dial Opens a session, which starts to connect.
   */
  constructor(address: string, dial: () => Session) {
    this.address = address;
    this.#publisher = new RenewedSession(dial);
    this.#listener = new RenewedSession(dial);
  }

  /** Whether neither session was lost. */
  get connected(): boolean {
    return !this.#publisher.lost && !this.#listener.lost;
  }

  /** Refuses names that LISTEN would cut, and payloads that NOTIFY would refuse. */
  check(channel: string, payload?: Payload): void {
    if (isLonger(channel, NAME_LIMIT)) {
      throw new RangeError(
        `Cannot use channel "${channel}" on postgres: its name has ${
          byteLength(channel)
        } bytes, the limit is ${NAME_LIMIT}`,
      );
    }
    if (channel.includes("\0")) {
      throw new TypeError("Cannot use channel on postgres: its name has a NUL character");
    }
    if (payload !== undefined) checkPayload(channel, payload);
  }

  /** Opens the session to publish; the other one opens with the first tail. */
  async connect(): Promise<void> {
    this.#listener.forgetLost();
    await this.#publisher.use().ready;
  }

  /** Publishes with as few statements as possible. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return this.#publisher.current!.notify(messages);
  }

  /** Listens. */
  async tail(channel: string): Promise<Tail> {
    const session = this.#listener.use();
    await session.ready;
    return await session.listen(channel);
  }

  /** Sends a statement on each session. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#publisher.probe(signal), this.#listener.probe(signal)]);
  }

  /** Closes both sessions. */
  async close(): Promise<void> {
    await Promise.all([this.#publisher.close(), this.#listener.close()]);
  }
}

/** Options for LISTEN and NOTIFY: the parameters of `postgres://`, and a client. */
export interface PostgresOptions extends ConnectionOptions {}

/**
 * LISTEN and NOTIFY of a Postgres server, for `new Broadcast()`.
 *
 * @param options The server, or a client of it.
 * @throws {TypeError} If `sql` is not a client of the library `postgres`.
 */
export function postgres(options: PostgresOptions = {}): BackendSource {
  const { sql, url } = checkOptions("postgres", options);
  const source = sourceOf({
    schemes: ["postgres", "postgresql"],
    url,
    parameters: connectionParameters(options),
    open: (address) => sql === undefined ? open(address) : borrow(address, sql),
  });
  if (sql !== undefined) {
    checkSql(sql);
    checkUnused(source.address);
  }
  return source;
}

/** Makes the backend of `postgres://` and `postgresql://`. */
export async function open(address: Address): Promise<Backend> {
  const settings = await settingsOf(address);
  const { default: postgres } = await importClient<{ default: Postgres }>("postgres", FACTORY);
  return new PostgresBackend(
    shownAs("postgres", address),
    () => new OwnSession(postgres, settings),
  );
}

function borrow(address: Address, sql: Sql): Backend {
  return new PostgresBackend(String(address), () => new BorrowedSession(sql));
}

function checkPayload(channel: string, payload: Payload): void {
  if (typeof payload !== "string") {
    throw new TypeError(
      `Cannot publish to "${channel}": the payload is bytes, postgres carries text, use the text() or json() codec`,
    );
  }
  if (payload.includes("\0")) {
    throw new TypeError(
      `Cannot publish to "${channel}": the payload has a NUL character, which postgres cannot carry`,
    );
  }
  if (isLonger(payload, PAYLOAD_LIMIT)) {
    throw new RangeError(
      `Cannot publish to "${channel}": the payload has ${
        byteLength(payload)
      } bytes, the limit of postgres is ${PAYLOAD_LIMIT}`,
    );
  }
}

/** Whether a text is longer than that in bytes: a UTF-16 unit has at most three. */
function isLonger(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

const encoder = new TextEncoder();

/** The length in UTF-8, as the server counts it. */
function byteLength(text: string): number {
  return encoder.encode(text).length;
}
