/**
 * PostgreSQL's LISTEN and NOTIFY.
 *
 * ## URLs
 *
 * `postgres://[[user][:password]@]host[:port][/database]`, or `postgresql://`.
 * Parameters: `sslmode`, one of `disable` (the default), `prefer`, `require`
 * and `verify-full`, with libpq's meaning; `ca`, `cert` and `key`, paths of PEM
 * files, which imply `verify-full`. It must be a session of its own: a pooler in
 * transaction mode drops LISTEN. There is no pool: a process has one connection
 * to publish, and one to listen.
 *
 * ## Delivery
 *
 * At most once, in the order of commit. What is published while the connection
 * is lost is lost too, and told as a gap. A payload is text of at most 7,999
 * bytes without NUL, a channel name at most 63 bytes: more is refused.
 *
 * ## Escape hatch
 *
 * Pass a `postgres` client as `client`: it publishes one statement behind the
 * other, and its own `listen()` is used. It is never closed.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Payload,
  Tail,
} from "../../core/backend/contract.ts";
import { ClosedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import type { Postgres } from "./link.ts";
import { BorrowedSession } from "./pubsub/borrowed_session.ts";
import { OwnSession, type Session } from "./pubsub/session.ts";
import { settingsOf, shownAs } from "./settings.ts";

/** NOTIFY's limit: "In the default configuration it must be shorter than 8000 bytes". */
const PAYLOAD_LIMIT = 7_999;
/** NAMEDATALEN - 1: LISTEN would cut a longer name without an error. */
const NAME_LIMIT = 63;

/** One session to publish, one to listen, however many channels. */
export class PostgresBackend implements Backend {
  /** The scheme. */
  readonly name = "postgres";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = { crossProcess: true, binary: false };
  readonly #dial: () => Session;
  #publisher: Session | undefined;
  #listener: Session | undefined;
  #closed = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param dial Makes a session that connects.
   */
  constructor(address: string, dial: () => Session) {
    this.address = address;
    this.#dial = dial;
  }

  /** Whether neither session was lost. */
  get connected(): boolean {
    return !this.#publisher?.lost && !this.#listener?.lost;
  }

  /** Refuses what NOTIFY would refuse, and what LISTEN would cut. */
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
    if (this.#listener?.lost) this.#listener = undefined;
    this.#publisher = this.#open(this.#publisher);
    await this.#publisher.ready;
  }

  /** As few statements as can be, pipelined. */
  publish(
    channel: string,
    payloads: readonly Payload[],
  ): readonly Promise<unknown>[] {
    return this.#publisher!.notify(channel, payloads as readonly string[]);
  }

  /** LISTEN, answered. */
  async tail(channel: string): Promise<Tail> {
    this.#listener = this.#open(this.#listener);
    await this.#listener.ready;
    return this.#listener.listen(channel);
  }

  /** A statement on each session. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#publisher?.probe(signal), this.#listener?.probe(signal)]);
  }

  /** Ends both sessions. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#publisher?.close(), this.#listener?.close()]);
  }

  #open(session: Session | undefined): Session {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    return session && !session.lost ? session : this.#dial();
  }
}

/** Makes the backend of `postgres://` and `postgresql://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  if (options.client !== undefined) {
    const client = options.client as Sql;
    if (typeof client?.listen !== "function") {
      throw new TypeError("Cannot use client: it is not a `Sql` of postgres");
    }
    return new PostgresBackend(String(address), () => new BorrowedSession(client));
  }
  const settings = await settingsOf(address);
  const { default: postgres } = await importClient<{ default: Postgres }>("postgres");
  return new PostgresBackend(
    shownAs("postgres", address),
    () => new OwnSession(postgres, settings),
  );
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

/** Whether it has more bytes than that: no UTF-16 unit is more than three of them. */
function isLonger(text: string, limit: number): boolean {
  return text.length * 3 > limit && byteLength(text) > limit;
}

const encoder = new TextEncoder();

/** The length in UTF-8, which is what the server counts. */
function byteLength(text: string): number {
  return encoder.encode(text).length;
}
