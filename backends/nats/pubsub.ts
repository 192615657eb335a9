/**
 * NATS: subjects, without a log.
 *
 * ## URLs
 *
 * `nats://[user:password@]host[:port][,host[:port]…]`, or `nats://token@host`. The default port is
 * 4222. One of several servers of a cluster is used.
 *
 * - `tls`: `true` if the server must have TLS. Otherwise TLS is used if the server offers it. The
 *   server's certificate must be for the host in the URL.
 * - `ca`, `cert`, `key`: paths of PEM files for TLS.
 * - `creds`: the path of a credentials file, as `nsc` and Synadia Cloud create them:
 *   `nats://connect.ngs.global?tls=true&creds=user.creds`. It is read again for each connection.
 *
 * For other credentials, and for WebSockets, pass a client.
 *
 * On Deno, `--allow-net=host:port` is enough for each host as it is written, with `--allow-read`
 * for the files that the URL names.
 *
 * ## Delivery
 *
 * Events arrive at most once, in the order of each publisher. Events that are published while the
 * connection is lost are lost too, and cause a gap. If this process is too slow, the server drops
 * events and closes the connection, which also causes a gap.
 *
 * If the server refuses a subscription, it rejects with a `RefusedError`: a right is missing, or
 * the limit `max_subscriptions` is reached. If a right is revoked later, the subscription ends with
 * this error.
 *
 * Headers are NATS headers. Names that start with `Nats-` are refused, since servers interpret
 * them. Each message carries the header `broadcaster-sequence`. With it, subscribers detect events
 * that servers lost between two events of one publisher, and count them exactly. Messages of other
 * programs lack this header, so their losses may go unnoticed. Losses before the first received
 * event of a publisher may also go unnoticed.
 *
 * A channel is the subject of the same name: other programs may publish and subscribe to it.
 * Characters that a subject cannot have, such as spaces, `*`, `>` and `%`, are written as their
 * UTF-8 bytes, such as `%20`, and an empty token as `%`. A first `$` is written `%24`, and `_INBOX`
 * `%5FINBOX`. A subject may have 2,048 bytes. A payload may be as large as the server allows: 1 MiB
 * by default. A pattern is narrowed to the tokens before its first `*`: `room.*` subscribes to
 * `room.>`, and `room*` to every subject.
 *
 * ## Escape hatch
 *
 * Pass a `NatsConnection` to the factory: `nats({ client })`. The connection is never closed. It
 * reconnects by itself, and events that it loses meanwhile cause a gap.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, Subscription } from "@nats-io/transport-node";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Payload,
  PayloadOptions,
  ServerFacts,
  Tail,
  Target,
} from "../../core/backend/contract.ts";
import type { RefusedError } from "../../core/backend/errors.ts";
import {
  SEQUENCE_HEADER,
  Sequencer,
  SequenceTracker,
} from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import {
  checkConnection,
  type Dial,
  dialOf,
  dialOver,
  NATS_OPTIONS,
  type NatsOptions,
} from "./dial.ts";
import { refused } from "./errors.ts";
import {
  checkHeaders,
  HEADER_LENGTH,
  headerOf,
  headersIn,
  lengthOf,
  readHeaders,
} from "./headers.ts";
import { factsOf } from "./facts.ts";
import type { Link } from "./link.ts";
import { channelOf, checkPublish, subjectOf, subjectsOf } from "./subject.ts";

export type { NatsConnection } from "./dial.ts";
export type { NatsOptions };

/** The errors for the messages of one turn that the server denied, by subject. */
type Denials = Map<string, Error>;

/** A tail, and its subscription. */
interface Listening {
  readonly source: NatsTail;
  readonly subscription: Subscription;
}

/** A tail that the server may refuse, even later, when rights are revoked. */
class NatsTail extends QueueTail {
  /** The refusal. */
  failure: RefusedError | undefined;

  /** Makes reads reject, after the items that have come. */
  refuse(reason: RefusedError): void {
    this.failure ??= reason;
    this.error(reason);
  }
}

/** Uses one connection for any number of channels. */
export class NatsBackend implements Backend {
  /** The scheme. */
  readonly name = "nats";
  /** The servers, as shown in messages. */
  readonly address: string;
  /** The features. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    orderPerPublisher: true,
    patterns: true,
    headers: true,
  };
  readonly #dial: Dial;
  readonly #sequencer = new Sequencer();
  readonly #tails = new Map<QueueTail, Subscription>();
  readonly #unconfirmed = new Set<Denials>();
  readonly #held: RenewedConnection<Link> = new RenewedConnection(() => this.#open());

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param dial Connects to the server.
   */
  constructor(dial: Dial) {
    this.address = dial.address;
    this.#dial = dial;
  }

  /** `false` once the connection was lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#held.count;
  }

  /** Opens the connection. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  async #open(): Promise<Link> {
    const link = await this.#dial.connect();
    link.onDenied = (subject, error) => {
      for (const denials of this.#unconfirmed) denials.set(subject, error);
    };
    link.loss.addEventListener("abort", () => {
      for (const [source, subscription] of this.#tails) {
        // Otherwise the user's client would subscribe again.
        subscription.unsubscribe();
        source.error(link.loss.reason);
      }
      this.#tails.clear();
    });
    return link;
  }

  /** Rejects names, headers and payloads that the server would refuse. */
  check(channel: string, payload?: Payload, { headers }: PayloadOptions = {}): void {
    const info = this.#held.current?.client.info;
    checkHeaders(this.name, channel, headers, info?.headers);
    checkPublish(channel, payload, info?.max_payload, lengthOf(headers));
  }

  /** Publishes the messages of a turn. A PING after them confirms all of them. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    const link = this.#held.current!;
    const denials: Denials = new Map();
    const failures = new Map<OutgoingPayload, unknown>();
    const confirmed = this.#send(link, messages, denials, failures);
    // A rejection is ignored here, since perhaps no message awaits it.
    confirmed.catch(() => {});
    const answers = new Map<string, Promise<undefined>>();
    return messages.map((message) => {
      if (failures.has(message)) return Promise.reject(failures.get(message));
      const { channel } = message;
      const answer = answers.get(channel) ?? confirmed.then(() => {
        const error = denials.get(subjectOf(channel));
        if (error) throw error;
        return undefined;
      });
      answers.set(channel, answer);
      return answer;
    });
  }

  async #send(
    link: Link,
    messages: readonly OutgoingPayload[],
    denials: Denials,
    failures: Map<OutgoingPayload, unknown>,
  ): Promise<void> {
    link.loss.throwIfAborted();
    this.#unconfirmed.add(denials);
    // Requested before the messages are published. The PING is written after them, in the same
    // write.
    const confirmed = link.confirm();
    for (const message of messages) {
      try {
        this.#sendOne(link, message);
      } catch (error) {
        failures.set(message, error);
      }
    }
    try {
      await confirmed;
    } catch (error) {
      link.loss.throwIfAborted();
      throw error;
    } finally {
      this.#unconfirmed.delete(denials);
    }
  }

  #sendOne(link: Link, { channel, payload, headers }: OutgoingPayload): void {
    const { max_payload: limit = 0, headers: hasHeaders = false } = link.client.info ?? {};
    // The limit may have changed since the message was checked.
    checkPublish(channel, payload, limit, lengthOf(headers));
    const length = Buffer.byteLength(payload) + lengthOf(headers) + HEADER_LENGTH;
    const own = hasHeaders && length <= limit
      ? { [SEQUENCE_HEADER]: this.#sequencer.next(channel) }
      : undefined;
    const header = (own || headers) && { headers: headerOf({ ...own, ...headers }) };
    link.client.publish(subjectOf(channel), payload, header);
  }

  /** Subscribes, and waits until the server has confirmed that. */
  async tail(target: Target): Promise<Tail> {
    const link = this.#held.current!;
    const { subscription, source } = await link.subscribe(() => this.#listen(link, target));
    if (link.lost) subscription.unsubscribe();
    link.loss.throwIfAborted();
    if (source.failure) throw source.failure;
    this.#tails.set(source, subscription);
    return source;
  }

  #listen(link: Link, target: Target): Listening {
    const isPattern = typeof target !== "string";
    const tracker = new SequenceTracker();
    const source = new NatsTail(async () => {
      this.#tails.delete(source);
      subscription.unsubscribe();
      // A lost connection has nothing to confirm.
      await link.confirm().catch(() => {});
    });
    const hear = (error: Error | null, message: Msg): void => {
      if (error) return source.refuse(refused(error));
      const { subject, data: payload } = message;
      const channel = isPattern ? channelOf(subject) : undefined;
      if (isPattern && channel === undefined) return;
      const headers = readHeaders(message);
      const loss = tracker.loss(headers?.get(SEQUENCE_HEADER));
      if (loss) source.push(loss);
      source.push({
        kind: "record",
        payload,
        headers: headersIn(headers),
        ...channel !== undefined && { channel },
      });
    };
    const subject = isPattern ? subjectsOf(target) : subjectOf(target);
    const subscription = link.client.subscribe(subject, { callback: hear });
    return { source, subscription };
  }

  /** Sends a PING. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return Promise.resolve(factsOf(this.#held.current!));
  }

  /** Closes the connection, unless it is the user's. */
  close(): Promise<void> {
    return this.#held.close();
  }
}

/**
 * The backend of NATS, for `new Broadcast()`.
 *
 * @param options Options for the connection, in addition to those of the URL.
 * @throws {TypeError} If the URL is malformed, or the client is not a `NatsConnection`.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { nats } from "@broadcaster/broadcaster/nats";
 *
 * const broadcast = new Broadcast(nats({ url: "nats://localhost", tls: true }));
 * await broadcast.disconnect();
 * ```
 *
 * @example With a connection of your own
 * ```ts ignore
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { nats } from "@broadcaster/broadcaster/nats";
 * import { connect } from "@nats-io/transport-node";
 *
 * const client = await connect();
 * const broadcast = new Broadcast(nats({ client }));
 * ```
 */
export function nats(options: NatsOptions = {}): BackendSource {
  const { url, client, ...parameters } = checkOptions("nats", options, NATS_OPTIONS);
  if (client !== undefined) checkConnection(client);
  return sourceOf({
    schemes: ["nats"],
    url,
    parameters,
    open: (address) => client ? new NatsBackend(dialOver(client, address)) : open(address),
  });
}

/** Opens the backend of a `nats://` URL. */
export async function open(address: Address): Promise<Backend> {
  return new NatsBackend(await dialOf(address));
}
