/**
 * The tails of `amqp://`. Each tail has a queue.
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
import type { Tail, Target } from "../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { SEQUENCE_HEADER, SequenceTracker } from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { declareExchange } from "./exchange.ts";
import { headersFrom } from "./headers.ts";
import type { Link } from "./link.ts";
import type { Links } from "./links.ts";
import { bindingOf, channelOf } from "./routing_key.ts";
import { Sentinel, TOKEN_HEADER } from "./sentinel.ts";

/** How long a queue may take to receive what this process has published, in milliseconds. */
const LIMIT = 5_000;

/** A tail, and the state of its queue. */
interface Listener {
  readonly source: QueueTail;
  /** The channel, unless it is a pattern. */
  readonly channel: string | undefined;
  /** The number of the last message of this process that was received. */
  heard: unknown;
  /** The number of the last message that this process has published, until it is received. */
  awaited: unknown;
  /** The time when the queue received a message of this process, or began to wait for one. */
  since: number;
}

/** Opens tails, and detects tails that receive nothing any more. */
export class Tails {
  readonly #links: Links;
  readonly #exchange: string;
  readonly #listeners = new Set<Listener>();
  /** Number of tails that are being opened. */
  #opening = 0;
  /** The listeners of channels, by name. */
  readonly #channels = new Map<string, Listener>();
  /** Whether a token has come back once. */
  #isProven = false;
  /** Resolves once the exchange was declared; absent while it may have been deleted. */
  #declared: Promise<void> | undefined;
  /** The sentinel, while there are tails. */
  #sentinel: Sentinel | undefined;

  /**
   * @param links The connections.
   * @param exchange The exchange that queues are bound to.
   */
  constructor(links: Links, exchange: string) {
    this.#links = links;
    this.#exchange = exchange;
  }

  /** Makes the next tail declare the exchange again, since it may have been deleted. */
  doubt(): void {
    this.#declared = undefined;
  }

  /** Errors all tails. */
  lose(error: unknown): void {
    this.doubt();
    this.#drop(error);
    for (const listener of [...this.#listeners]) {
      this.#forget(listener);
      listener.source.error(error);
    }
  }

  /**
   * Called when the server has confirmed a message of this process. The queue of its channel must
   * then receive the message.
   */
  expect(channel: string, sequence: unknown): void {
    const listener = this.#channels.get(channel);
    if (!listener || listener.heard === sequence) return;
    if (listener.awaited === undefined) listener.since = performance.now();
    listener.awaited = sequence;
  }

  /** Errors the tails that do not receive what this process publishes. */
  async probe(signal: AbortSignal): Promise<void> {
    for (const listener of [...this.#listeners]) {
      if (listener.awaited !== undefined && performance.now() - listener.since > LIMIT) {
        this.#fail(listener, "its binding was removed");
      }
    }
    const sentinel = this.#sentinel;
    try {
      await sentinel?.probe(signal);
    } catch (cause) {
      // The right to publish may have been revoked.
      if (this.#links.isBlocked || cause instanceof RefusedError) return;
      if (this.#sentinel !== sentinel) return;
      this.lose(new ConnectionError("its queue does not receive what is published", { cause }));
    }
  }

  /** Declares a queue, binds it, and consumes it. */
  async open(target: Target): Promise<Tail> {
    const link = await this.#links.listening();
    await this.#declare(link);
    this.#opening++;
    try {
      const sentinel = this.#sentinel ??= this.#post(link);
      await sentinel.bound;
      const tail = await this.#declareQueue(link, target);
      try {
        await sentinel.proven;
        this.#isProven ||= sentinel.isProven;
        // The queue may have lost its binding, too.
        if (this.#sentinel !== sentinel) throw new ConnectionError("the exchange was deleted");
      } catch (error) {
        await tail.cancel().catch(() => {});
        throw error;
      }
      return tail;
    } finally {
      this.#opening--;
      this.#rest();
    }
  }

  async #declareQueue(link: Link, target: Target): Promise<QueueTail> {
    const control = await link.ask(link.control.open());
    const { queue } = await link.ask(
      control.assertQueue("", { exclusive: true, autoDelete: true, durable: false }),
    );
    try {
      return await this.#consume(link, queue, target);
    } catch (error) {
      // Without a consumer, the queue would stay as long as the connection.
      link.apart((channel) => channel.deleteQueue(queue)).catch(() => {});
      throw error;
    }
  }

  async #consume(link: Link, queue: string, target: Target): Promise<QueueTail> {
    const control = await link.ask(link.control.open());
    await link.ask(control.bindQueue(queue, this.#exchange, bindingOf(target)));
    const consuming = await link.ask(link.consuming.open());
    const source: QueueTail = new QueueTail(async () => {
      if (!this.#forget(listener) || link.lost) return;
      // The server deletes the queue when its only consumer ends.
      await link.ask(consuming.cancel(consumerTag));
    });
    const channel = typeof target === "string" ? target : undefined;
    const listener: Listener = {
      ...{ source, channel },
      ...{ heard: undefined, awaited: undefined, since: 0 },
    };
    const hear = hearing(listener);
    const { consumerTag } = await link.ask(
      consuming.consume(queue, (message) => {
        if (message) return hear(message);
        this.#links.ended();
        this.#fail(listener, "the queue was deleted");
      }, { noAck: true, exclusive: true }),
    );
    this.#listeners.add(listener);
    if (channel !== undefined) this.#channels.set(channel, listener);
    return source;
  }

  #declare(link: Link): Promise<void> {
    const declared = this.#declared ??= declareExchange(link, this.#exchange);
    declared.catch(() => this.#declared = undefined);
    return declared;
  }

  /** Posts a sentinel. A later tail posts another one if it fails. */
  #post(link: Link): Sentinel {
    const sentinel: Sentinel = new Sentinel({
      link,
      links: this.#links,
      exchange: this.#exchange,
      wasProven: this.#isProven,
      onEnded: () => {
        this.#links.ended();
        if (this.#sentinel === sentinel) this.lose(new ConnectionError("a queue was deleted"));
      },
    });
    sentinel.proven.catch(() => this.#sentinel === sentinel && this.#drop());
    return sentinel;
  }

  #drop(reason?: unknown): void {
    const sentinel = this.#sentinel;
    this.#sentinel = undefined;
    sentinel?.close(reason);
  }

  /** Nothing is left at the server once there are no tails. */
  #rest(): void {
    if (this.#listeners.size + this.#opening === 0) this.#drop();
  }

  #fail(listener: Listener, reason: string, cause?: unknown): void {
    if (!this.#forget(listener)) return;
    this.doubt();
    const error = new ConnectionError(reason, { cause });
    // The server deletes the queue when its consumer ends.
    listener.source.error(error);
  }

  #forget(listener: Listener): boolean {
    const { channel } = listener;
    if (channel !== undefined && this.#channels.get(channel) === listener) {
      this.#channels.delete(channel);
    }
    const isOpen = this.#listeners.delete(listener);
    this.#rest();
    return isOpen;
  }
}

/** Puts the messages of a consumer into a tail. */
function hearing(listener: Listener): (message: ConsumeMessage) => void {
  const { source } = listener;
  const isPattern = listener.channel === undefined;
  const tracker = new SequenceTracker();
  return ({ fields, properties, content }) => {
    // A pattern may also match the key of tokens.
    if (properties.headers?.[TOKEN_HEADER] !== undefined) return;
    const channel = isPattern ? channelOf(fields.routingKey) : undefined;
    if (isPattern && channel === undefined) return;
    const sequence: unknown = properties.headers?.[SEQUENCE_HEADER];
    if (sequence === listener.awaited) listener.awaited = undefined;
    listener.heard = sequence;
    listener.since = performance.now();
    const loss = tracker.loss(typeof sequence === "string" ? sequence : undefined);
    if (loss) source.push(loss);
    const headers = headersFrom(properties.headers);
    source.push({
      kind: "record",
      payload: content,
      headers,
      ...channel !== undefined && { channel },
    });
  };
}
