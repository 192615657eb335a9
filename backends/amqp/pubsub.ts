/**
 * RabbitMQ, and what speaks AMQP 0-9-1.
 *
 * ## URLs
 *
 * `amqp://[user[:password]@]host[:port][/vhost][?parameters]`, port 5672 unless it is named, user
 * and password `guest`, virtual host `/`; `amqps://` for TLS, port 5671.
 *
 * | parameter | |
 * |---|---|
 * | `exchange` | the topic exchange that is published to, `broadcaster` by default; made, durable, if it is missing |
 * | `ca` | path of a PEM file with the authorities to trust; implies TLS, as do the next two |
 * | `cert`, `key` | paths of PEM files with the client's own certificate and its key |
 *
 * A channel is the routing key of its name, of at most 255 bytes. A word that is
 * `*` or `#` alone, and each `%`, become `%2A`, `%23` and `%25`.
 *
 * ## Delivery
 *
 * Published with a confirm. Each channel that is subscribed to has a queue of
 * its own, which goes with the connection: what is published while that is lost
 * is lost too, and told as a gap; so is a queue that somebody deletes. Each
 * message carries its number in a header, so that what a policy drops from the
 * queue (`max-length`) is told as a gap with the exact count, once a later
 * message of the same publisher arrives, if an earlier one had. What other
 * programs publish has no number.
 *
 * A pattern is narrowed to whole words at both ends: `room.*.end` is bound as
 * `room.#.end`, `room*` as `#`, which brings every message to this process.
 *
 * ## Headers
 *
 * Each is a text of its own name in the message's headers table, beside our own
 * `broadcaster-…`, and has a name of at most 255 bytes. Of what other programs put
 * there, numbers and booleans arrive as their text, bytes if they are UTF-8, arrays
 * and tables not at all. What RabbitMQ or a plugin of it goes by or sets is refused,
 * and left out of what arrives: `CC`, `BCC`, `timestamp_in_ms`, and of the names in
 * `x-…` those of routing, dead letters, streams, delays, federation, shovels and of
 * other protocols, such as `x-death`; `x-request-id` and the like are anybody's.
 * Together they have to fit into a frame of the connection, where a server's
 * `frame_max` is lower than 128 KiB. One that is named `__proto__` also travels as
 * `broadcaster-proto`, since amqplib loses it on Node.js.
 *
 * ## Escape hatch
 *
 * Pass a connection of amqplib (`ChannelModel`) as `client`. Channels of our own
 * are opened on it, and it is never closed.
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
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
import { ConnectionError } from "../../core/backend/errors.ts";
import {
  SEQUENCE_HEADER,
  Sequencer,
  SequenceTracker,
} from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { type Dial, dialOf } from "./dial.ts";
import { checkFrame, checkHeaders, headersFrom, tableOf } from "./headers.ts";
import { type Link, onLoss } from "./link.ts";
import { checkPayload, contentOf } from "./payload.ts";
import { bindingOf, channelOf, keyOf } from "./routing_key.ts";

/** What is published to unless the URL says otherwise. */
const EXCHANGE = "broadcaster";

/** One connection, however many channels. */
export class AmqpBackend implements Backend {
  /** The scheme. */
  readonly name = "amqp";
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
  readonly #exchange: string;
  readonly #sequencer = new Sequencer();
  readonly #tails = new Set<QueueTail>();
  readonly #held: RenewedConnection<Link> = new RenewedConnection(() => this.#open());

  /**
   * A backend that connects when it is asked to.
   *
   * @param dial How it connects.
   * @param exchange The topic exchange that is published to.
   */
  constructor(dial: Dial, exchange: string = EXCHANGE) {
    this.address = dial.address;
    this.#dial = dial;
    this.#exchange = exchange;
  }

  /** Whether the connection was not lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Opens the connection, and makes the exchange. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /** Names, payloads and headers that the server would refuse. */
  check(channel: string, payload: Payload = "", options?: PayloadOptions): void {
    keyOf(channel);
    checkPayload(this.name, channel, payload);
    checkHeaders(this.name, channel, options?.headers);
  }

  /** PUBLISH, each confirmed. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<unknown>[] {
    const link = this.#held.current!;
    const exchange = this.#exchange;
    const key = keyOf(channel);
    const opened = link.ask(link.publishing.open());
    return payloads.map(async (payload, index) => {
      const given = options?.[index]?.headers;
      if (given) checkFrame(given, link.frame);
      const own = { [SEQUENCE_HEADER]: this.#sequencer.next(channel) };
      const headers = given ? tableOf(given, own) : own;
      const content = contentOf(payload);
      await link.send(await opened, { exchange, key, content, headers });
    });
  }

  /** A queue, bound and consumed: each answered. */
  async tail(target: Target): Promise<Tail> {
    const link = this.#held.current!;
    link.loss.throwIfAborted();
    const binding = bindingOf(target);
    const control = await link.ask(link.control.open());
    const { queue } = await link.ask(
      control.assertQueue("", { exclusive: true, autoDelete: true, durable: false }),
    );
    await link.ask(control.bindQueue(queue, this.#exchange, binding));
    const consuming = await link.ask(link.consuming.open());
    const source: QueueTail = new QueueTail(async () => {
      if (!this.#tails.delete(source) || link.lost) return;
      // The queue goes with its only consumer.
      await link.ask(consuming.cancel(consumerTag));
    });
    const listener = listenerOf(source, typeof target !== "string");
    const { consumerTag } = await link.ask(
      consuming.consume(queue, (message) => {
        if (message) return listener(message);
        this.#tails.delete(source);
        source.error(new ConnectionError("the queue was deleted"));
      }, { noAck: true, exclusive: true }),
    );
    this.#tails.add(source);
    return source;
  }

  /** A question on the channel that consumes. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #open(): Promise<Link> {
    const link = await this.#dial.connect((channel) =>
      channel.assertExchange(this.#exchange, "topic", { durable: true })
    );
    const lose = (error: unknown) => {
      for (const source of this.#tails) source.error(error);
      this.#tails.clear();
    };
    onLoss(link, () => lose(link.loss.reason));
    link.consuming.onClosed(lose);
    return await link.opened(link.control);
  }
}

/** What becomes of a message. */
function listenerOf(source: QueueTail, isPattern: boolean): (message: ConsumeMessage) => void {
  const tracker = new SequenceTracker();
  return ({ fields, properties, content }) => {
    const channel = isPattern ? channelOf(fields.routingKey) : undefined;
    if (isPattern && channel === undefined) return;
    const header: unknown = properties.headers?.[SEQUENCE_HEADER];
    const missed = tracker.missed(typeof header === "string" ? header : undefined);
    if (missed > 0) source.push({ cause: "unknown", missed });
    const headers = headersFrom(properties.headers);
    source.push({ payload: content, headers, ...channel !== undefined && { channel } });
  };
}

/** Makes the backend of `amqp://` and `amqps://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const exchange = address.parameters.get("exchange") ?? EXCHANGE;
  return new AmqpBackend(await dialOf(address, options), exchange);
}
