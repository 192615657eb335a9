/**
 * NATS: subjects, without a past.
 *
 * ## URLs
 *
 * `nats://[user:password@]host[:port][,host[:port]…]`, or `nats://token@host`.
 * The port is 4222 if none is named; of several servers of a cluster one is
 * used. A server that offers TLS is used with it; `tls=true` asks for it.
 * `ca`, `cert` and `key` name PEM files; on Deno a server that is checked so is to be
 * named, not addressed by its IP. For credentials of another kind, pass a
 * client.
 *
 * ## Delivery
 *
 * At most once, and in the order of each publisher. What is published while the
 * connection is lost is lost too, and told as a gap; so it is if the server
 * closes the connection to a process that is too slow. Headers are the message's;
 * none is called `Nats-…`, since servers act upon those. Events carry one of ours,
 * `broadcaster-sequence`, by which a subscriber finds, with the exact count, what
 * servers have lost between two events of one publisher. What other programs
 * publish without it may be lost there without notice, as may what a publisher
 * sends before the first event that arrives of it.
 *
 * A channel is the subject of that name: other programs may publish and
 * subscribe to it. What a subject cannot hold, such as spaces, `*`, `>` and `%`,
 * is written as its UTF-8 bytes, `%20`, a token that is empty as `%`, and a first
 * `$` or `_INBOX` begins with `%24` or `%5F`. A subject has at most 2,048 bytes,
 * and a payload what the server allows: 1 MiB, unless it was set. A pattern is
 * narrowed down to the tokens before its first `*`: `room.*` asks for `room.>`, and
 * `room*` for every subject that there is.
 *
 * ## Escape hatch
 *
 * Pass a connected `NatsConnection` as `client`: it is used, and never closed. It
 * reconnects by itself; what it loses meanwhile is a gap.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, Subscription } from "@nats-io/transport-node";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Payload,
  PayloadOptions,
  Tail,
  Target,
} from "../../core/backend/contract.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import {
  SEQUENCE_HEADER,
  Sequencer,
  SequenceTracker,
} from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { type Dial, dialOf } from "./dial.ts";
import { checkHeaders, HEADER_LENGTH, headerOf, headersIn, lengthOf } from "./headers.ts";
import type { Link } from "./link.ts";
import { channelOf, checkPublish, subjectOf, subjectsOf } from "./subject.ts";

/** What was sent to a subject, and not confirmed yet. */
interface Batch {
  readonly subject: string;
  error?: Error;
}

/** One connection, however many channels. */
export class NatsBackend implements Backend {
  /** The scheme. */
  readonly name = "nats";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
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
  readonly #batches = new Set<Batch>();
  readonly #held: RenewedConnection<Link> = new RenewedConnection(() => this.#open());

  /**
   * A backend that connects when it is asked to.
   *
   * @param dial How it connects.
   */
  constructor(dial: Dial) {
    this.address = dial.address;
    this.#dial = dial;
  }

  /** Whether the connection was not lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Opens the connection. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  async #open(): Promise<Link> {
    const link = await this.#dial.connect();
    link.onDenied = (subject, error) => {
      for (const batch of this.#batches) if (batch.subject === subject) batch.error = error;
    };
    link.loss.addEventListener("abort", () => {
      for (const [source, subscription] of this.#tails) {
        // A client of the user's would subscribe again.
        subscription.unsubscribe();
        source.error(link.loss.reason);
      }
      this.#tails.clear();
    });
    return link;
  }

  /** Names, headers and payloads that the server would refuse. */
  check(channel: string, payload?: Payload, { headers }: PayloadOptions = {}): void {
    const info = this.#held.current?.client.info;
    checkHeaders(this.name, channel, headers, info?.headers);
    checkPublish(channel, payload, info?.max_payload, lengthOf(headers));
  }

  /** PUB, and a PING behind all that one turn brings. */
  async publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<void> {
    const link = this.#held.current!;
    const { max_payload: limit = 0, headers = false } = link.client.info ?? {};
    const batch: Batch = { subject: subjectOf(channel) };
    this.#batches.add(batch);
    // Before the payloads: it goes behind them, in the same write.
    const confirmed = link.confirm();
    try {
      payloads.forEach((payload, index) => {
        const others = options?.[index]?.headers;
        const length = Buffer.byteLength(payload) + lengthOf(others) + HEADER_LENGTH;
        const own = headers && length <= limit
          ? { [SEQUENCE_HEADER]: this.#sequencer.next(channel) }
          : undefined;
        const header = (own || others) && { headers: headerOf({ ...own, ...others }) };
        link.client.publish(batch.subject, payload, header);
      });
      await confirmed;
    } catch (error) {
      link.loss.throwIfAborted();
      throw error;
    } finally {
      this.#batches.delete(batch);
    }
    if (batch.error) throw batch.error;
  }

  /** SUB, confirmed. */
  async tail(target: Target): Promise<Tail> {
    const link = this.#held.current!;
    link.loss.throwIfAborted();
    const isPattern = typeof target !== "string";
    const tracker = new SequenceTracker();
    let refusal: RefusedError | undefined;
    const hear = (error: Error | null, { subject, headers, data }: Msg): void => {
      if (error) {
        refusal = new RefusedError(error.message, { cause: error });
        return source.error(refusal);
      }
      const channel = isPattern ? channelOf(subject) : undefined;
      if (isPattern && channel === undefined) return;
      const missed = tracker.missed(headers?.get(SEQUENCE_HEADER));
      if (missed > 0) source.push({ cause: "unknown", missed });
      const besides = headersIn(headers);
      source.push({
        payload: data,
        ...channel !== undefined && { channel },
        ...besides && { headers: besides },
      });
    };
    const subject = isPattern ? subjectsOf(target) : subjectOf(target);
    const subscription = link.client.subscribe(subject, { callback: hear });
    const source = new QueueTail(async () => {
      this.#tails.delete(source);
      subscription.unsubscribe();
      // Lost, it has nothing left to confirm.
      await link.confirm().catch(() => {});
    });
    this.#tails.set(source, subscription);
    await link.confirm();
    if (refusal) this.#tails.delete(source);
    if (refusal) throw refusal;
    return source;
  }

  /** PING. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.#held.close();
  }
}

/** Makes the backend of `nats://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  return new NatsBackend(await dialOf(address, options));
}
