/**
 * Channels over PostgreSQL's LISTEN and NOTIFY.
 *
 * ## URLs
 *
 * `postgres://[[user][:password]@]host[:port][/database][?parameters]`, or `postgresql://`. The
 * parameters are the options of {@linkcode PostgresOptions}, and these parameters of libpq:
 *
 * | parameter | meaning |
 * |---|---|
 * | `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `sslnegotiation` | TLS. The last but one are other names of `ca`, `cert` and `key`; `sslrootcert=system` means the authorities of the runtime. A certificate is checked for the host as the URL has it. |
 * | `ssl=true`, `sslaccept=strict` | `sslmode=verify-full` |
 * | `channel_binding=require` | `sslmode=verify-full`: the client cannot bind the password to TLS, and a certificate that is checked protects as well |
 * | `host`, `port` | The server. A host that starts with a slash is the folder of its Unix socket. |
 * | `target_session_attrs` | `any`, `primary` or `read-write`. A server that takes no writes is left and tried again later in any case. |
 * | `connect_timeout` | How long the server may take to accept a session, in seconds; 0 for forever. The default is 10. |
 * | `application_name` | The name of the sessions, by default `broadcaster`. |
 * | `options` | Settings of the sessions: `-c%20name=value`. |
 * | `pgbouncer=true` | No statement is prepared. A pooler is recognized without it. |
 *
 * Some parameters of Prisma and of hosting providers are accepted, but ignored: `connection_limit`,
 * `pool_timeout`, `schema`, `supa` and others. All others are rejected.
 *
 * A process has one connection to publish, and one to listen. The listening connection must have
 * its own session. A pooler in transaction mode drops LISTEN. `subscribe()` is then refused, since
 * a notification to the process itself does not come back.
 *
 * ## Permissions
 *
 * On Deno, `--allow-net=<host>:<port> --allow-env=PG*` is enough if the URL or `$PGUSER` names the
 * user. Otherwise the user is that of the operating system, as in libpq, which needs `--allow-sys`.
 * A Unix socket needs `--allow-net=unix:<path>`, and PEM files need `--allow-read=<path>`.
 *
 * ## Servers that take no writes
 *
 * On a standby, or on a primary that was demoted, messages wait for up to the option `timeout`.
 * Subscriptions are retried, each time on a new connection. A client that you pass keeps its
 * connections. It must reach the new primary by itself.
 *
 * ## Delivery
 *
 * Events arrive at most once, in the order of commit. Messages that are published while the
 * connection is lost are lost too, and a gap reports this. A payload is text of at most 7,999 bytes
 * without NUL. A channel name has at most 63 bytes. Longer ones are refused.
 *
 * ## Escape hatch
 *
 * Pass a client of the library `postgres` as `sql`. Its connections and its own `listen()` are
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
  ServerFacts,
  Tail,
} from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import { nameOf } from "../../core/backend/name.ts";
import type { Postgres } from "./link.ts";
import { BorrowedSession } from "./pubsub/borrowed_session.ts";
import { Proof } from "./pubsub/proof.ts";
import { OwnSession, type Session } from "./pubsub/session.ts";
import { RenewedSession } from "./renewed_session.ts";
import {
  checkSql,
  checkUnused,
  CONNECTION_OPTIONS,
  type ConnectionOptions,
  connectionParameters,
} from "./settings.ts";
import { settingsOf, shownAs } from "./url.ts";

export type { ConnectionOptions, SslMode } from "./settings.ts";

/** NOTIFY's limit: "In the default configuration it must be shorter than 8000 bytes". */
const PAYLOAD_LIMIT = 7_999;
/** NAMEDATALEN - 1. LISTEN would truncate a longer name without an error. */
const NAME_LIMIT = 63;
/** The alternative to a client library that cannot be imported. */
const FACTORY = "postgres({ sql })";

/** Uses one session to publish and one to listen, for any number of channels. */
export class PostgresBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres";
  /** The server and the database, as shown in messages. */
  readonly address: string;
  /** LISTEN and NOTIFY carry text, without a log. */
  readonly features: BackendFeatures = { crossProcess: true, binary: false };
  readonly #publisher: RenewedSession<Session>;
  readonly #listener: RenewedSession<Session>;
  #proof: Proof | undefined;
  #wasProven = false;

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param address The server and the database, as shown in messages.
   * @param dial Creates a session, which starts to connect.
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

  /** Number of open connections. */
  get connections(): number {
    return this.#publisher.count + this.#listener.count;
  }

  /** Rejects names that LISTEN would truncate, and payloads that NOTIFY would refuse. */
  check(channel: string, payload?: Payload): void {
    if (isLonger(channel, NAME_LIMIT)) {
      throw new RangeError(
        `Cannot use channel ${nameOf(channel)} on postgres: its name has ${
          byteLength(channel)
        } bytes, the limit is ${NAME_LIMIT}`,
      );
    }
    if (channel.includes("\0")) {
      throw new TypeError(
        `Cannot use channel ${nameOf(channel)} on postgres: its name has a NUL character`,
      );
    }
    if (payload !== undefined) checkPayload(channel, payload);
  }

  /** Opens the session to publish. The other session opens with the first tail. */
  async connect(): Promise<void> {
    this.#listener.forgetLost();
    await this.#publisher.use().ready;
  }

  /** Publishes with as few statements as possible. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return this.#publisher.current!.notify(messages);
  }

  /** Listens, after a check that notifications come back. */
  async tail(channel: string): Promise<Tail> {
    const session = this.#listener.use();
    await session.ready;
    await this.#prove(session);
    return await session.listen(channel);
  }

  /** Sends a statement on each session, and a notification from one to the other. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([
      this.#publisher.probe(signal),
      this.#listener.probe(signal),
      this.#proof?.probe(signal),
    ]);
  }

  /** Facts about the server. */
  async describe(): Promise<ServerFacts> {
    return await this.#publisher.current!.describe();
  }

  /** Closes both sessions. */
  async close(): Promise<void> {
    await Promise.all([this.#publisher.close(), this.#listener.close()]);
  }

  async #prove(session: Session): Promise<void> {
    if (this.#proof?.listener !== session) {
      this.#proof = new Proof(session, () => this.#publisher.use(), this.#wasProven);
    }
    const proof = this.#proof;
    try {
      await proof.opened;
    } catch (error) {
      this.#listener.discard(session);
      throw error;
    }
    this.#wasProven ||= proof.isProven;
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
  const { sql, url } = checkOptions("postgres", options, CONNECTION_OPTIONS);
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

/** Opens the backend of `postgres://` and `postgresql://`. */
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
      `Cannot publish to ${
        nameOf(channel)
      }: the payload is bytes, postgres supports only text, use the text() or json() codec`,
    );
  }
  if (payload.includes("\0")) {
    throw new TypeError(
      `Cannot publish to ${
        nameOf(channel)
      }: the payload has a NUL character, which postgres cannot carry`,
    );
  }
  if (isLonger(payload, PAYLOAD_LIMIT)) {
    throw new RangeError(
      `Cannot publish to ${nameOf(channel)}: the payload has ${
        byteLength(payload)
      } bytes, the limit of postgres is ${PAYLOAD_LIMIT}`,
    );
  }
}

/** Whether a text has more bytes than the limit. A UTF-16 unit has at most three bytes. */
function isLonger(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

const encoder = new TextEncoder();

/** The length in UTF-8, as the server counts it. */
function byteLength(text: string): number {
  return encoder.encode(text).length;
}
