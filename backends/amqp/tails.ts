/**
 * The tails of `amqp://`. Each tail has a queue. Tokens prove that the queue receives messages.
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
import type { Tail, Target } from "../../core/backend/contract.ts";
import { controlChannelOf } from "../../core/backend/control_channel.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { Loopback } from "../../core/backend/kit/loopback.ts";
import { SEQUENCE_HEADER, SequenceTracker } from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { random } from "../../core/util/random.ts";
import { declareExchange } from "./exchange.ts";
import { headersFrom } from "./headers.ts";
import type { Link } from "./link.ts";
import type { Links } from "./links.ts";
import { bindingOf, channelOf } from "./routing_key.ts";

/** The header of a token, which proves that a queue receives messages. */
const TOKEN_HEADER = "broadcaster-token";

/** The reason that is shown if no token comes back. */
const SILENCE =
  "a message to its queue did not come back: does the address lead to several servers that are not a cluster?";

/** How long a queue may take to receive what this process has published, in milliseconds. */
const LIMIT = 5_000;

/** A tail, and the state of its queue. */
interface Listener {
  readonly source: QueueTail;
  readonly loopback: Loopback;
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
  /** The listeners of channels, by name. */
  readonly #channels = new Map<string, Listener>();
  /** Whether a token has come back once. */
  #isProven = false;
  /** Resolves once the exchange was declared; absent while it may have been deleted. */
  #declared: Promise<void> | undefined;
  /** The connection on which the user may not bind the key of tokens. */
  #unbinding: Link | undefined;

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

  /** Sends a token to each queue that was silent. Errors the tails that do not receive. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from(this.#listeners, async (listener) => {
      if (listener.awaited !== undefined && performance.now() - listener.since > LIMIT) {
        return this.#fail(listener, "its binding was removed");
      }
      try {
        await listener.loopback.probe(signal);
      } catch (cause) {
        // The right to publish may have been revoked.
        if (this.#links.isBlocked || cause instanceof RefusedError) return;
        this.#fail(listener, "its queue does not receive what is published", cause);
      }
    }));
  }

  /** Declares a queue, binds it, consumes it, and sends it a token. */
  async open(target: Target): Promise<Tail> {
    const link = await this.#links.listening();
    await this.#declare(link);
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

  async #consume(link: Link, queue: string, target: Target): Promise<Tail> {
    const control = await link.ask(link.control.open());
    await link.ask(control.bindQueue(queue, this.#exchange, bindingOf(target)));
    const key = controlChannelOf(random());
    const isBound = await this.#bindKey(link, queue, key);
    const consuming = await link.ask(link.consuming.open());
    const source: QueueTail = new QueueTail(async () => {
      if (!this.#forget(listener) || link.lost) return;
      // The server deletes the queue when its only consumer ends.
      await link.ask(consuming.cancel(consumerTag));
    });
    const loopback = new Loopback({
      send: (token) =>
        this.#links.prove({ exchange: this.#exchange, key, headers: { [TOKEN_HEADER]: token } }),
      silence: SILENCE,
    });
    const channel = typeof target === "string" ? target : undefined;
    const listener: Listener = {
      ...{ source, loopback, channel },
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
    try {
      if (isBound) await loopback.prove(this.#isProven, link.loss);
      this.#isProven ||= loopback.isProven;
    } catch (error) {
      await source.cancel().catch(() => {});
      throw error;
    }
    return source;
  }

  #declare(link: Link): Promise<void> {
    const declared = this.#declared ??= declareExchange(link, this.#exchange);
    declared.catch(() => this.#declared = undefined);
    return declared;
  }

  /** Whether tokens reach the queue: rights may be limited to some routing keys. */
  async #bindKey(link: Link, queue: string, key: string): Promise<boolean> {
    if (this.#unbinding === link) return false;
    try {
      const control = await link.ask(link.control.open());
      await link.ask(control.bindQueue(queue, this.#exchange, key));
      return true;
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
      this.#unbinding = link;
      return false;
    }
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
    return this.#listeners.delete(listener);
  }
}

/** Puts the messages of a consumer into a tail. */
function hearing(listener: Listener): (message: ConsumeMessage) => void {
  const { source, loopback } = listener;
  const isPattern = listener.channel === undefined;
  const tracker = new SequenceTracker();
  return ({ fields, properties, content }) => {
    const token: unknown = properties.headers?.[TOKEN_HEADER];
    // A pattern also receives the tokens of other tails.
    if (typeof token === "string") return void loopback.receive(token);
    loopback.hear();
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
