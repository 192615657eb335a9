/**
 * Channels over RabbitMQ, and other servers of AMQP 0-9-1.
 *
 * ## URLs
 *
 * `amqp://[user[:password]@]host[:port][/vhost][?parameters]`, or `amqps://` for TLS. The default
 * port is 5672, with TLS 5671; the default user and password are `guest`, the default virtual host
 * is `/`. The parameters are the options of {@linkcode AmqpOptions}.
 *
 * The routing key of a channel is its name, of at most 255 bytes. A word that is `*` or `#` alone,
 * and each `%`, become `%2A`, `%23` and `%25`.
 *
 * ## Delivery
 *
 * Messages are published with confirms. Each channel that is subscribed to has a queue of its own,
 * which the server deletes with the connection. Messages that are published while the connection is
 * lost are lost too, and a gap says so; the same applies to a queue that somebody deletes.
 *
 * Each message has its number in a header. If a policy drops messages from the queue (`max-length`),
 * a gap says how many, once a later message of the same publisher arrives, provided that an earlier
 * one had arrived. Messages of other programs have no number.
 *
 * A pattern is bound by its whole words at both ends: `room.*.end` as `room.#.end`, `room*` as `#`,
 * which delivers every message to this process.
 *
 * ## Headers
 *
 * Each header is a text under its own name in the message's headers table, and its name has at most
 * 255 bytes. Our own entries begin with `broadcaster-`. Of the entries of other programs, numbers
 * and booleans arrive as text, and bytes if they are UTF-8; arrays and tables do not arrive.
 *
 * Names that RabbitMQ or one of its plugins reads or sets are refused, and left out of received
 * messages: `CC`, `BCC`, `timestamp_in_ms`, and the names in `x-…` of routing, dead letters,
 * streams, delays, federation, shovels and other protocols, such as `x-death`. Others, such as
 * `x-request-id`, are free.
 *
 * All headers of a message have to fit into one frame of the connection, which matters where a
 * server's `frame_max` is lower than 128 KiB. A header that is named `__proto__` is also sent as
 * `broadcaster-proto`, since amqplib loses it on Node.js.
 *
 * ## Escape hatch
 *
 * Pass a connection of amqplib as `client`, and channels are opened on it. It is never closed.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { amqp } from "@broadcaster/broadcaster/amqp";
 * import { connect } from "amqplib";
 *
 * const client = await connect("amqp://localhost");
 * const broadcast = new Broadcast(amqp({ client, exchange: "chat" }));
 * await broadcast.disconnect();
 * await client.close();
 * ```
 *
 * @module
 */

import type { ConsumeMessage } from "amqplib";
import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
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
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import {
  type AmqpConnection,
  checkConnection,
  type ConnectionOptions,
  connectionParameters,
  type Dial,
  dialOf,
} from "./dial.ts";
import { checkFrame, checkHeaders, headersFrom, tableOf } from "./headers.ts";
import { type Link, onLoss } from "./link.ts";
import { checkPayload, contentOf } from "./payload.ts";
import { bindingOf, channelOf, keyOf } from "./routing_key.ts";

export type { AmqpConnection, ConnectionOptions } from "./dial.ts";

/** The default exchange. */
const EXCHANGE = "broadcaster";

/** One connection, however many channels there are. */
export class AmqpBackend implements Backend {
  /** The scheme. */
  readonly name = "amqp";
  /** The server, as it appears in messages. */
  readonly address: string;
  /** Patterns and headers, without a log. */
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
   * A backend that connects with `connect()`.
   *
   * @param dial Connects.
   * @param exchange The topic exchange to publish to.
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

  /** Opens the connection, and creates the exchange. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /** Refuses names, payloads and headers that the server would refuse. */
  check(channel: string, payload: Payload = "", options?: PayloadOptions): void {
    keyOf(channel);
    checkPayload(this.name, channel, payload);
    checkHeaders(this.name, channel, options?.headers);
  }

  /** Publishes each message with a confirm. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    const link = this.#held.current!;
    const opened = link.ask(link.publishing.open());
    return messages.map(async ({ channel, payload, headers: given }) => {
      if (given) checkFrame(given, link.frame);
      const own = { [SEQUENCE_HEADER]: this.#sequencer.next(channel) };
      const headers = given ? tableOf(given, own) : own;
      const sending = { exchange: this.#exchange, key: keyOf(channel), headers };
      const content = contentOf(payload);
      await link.send(await opened, { ...sending, content });
      return undefined;
    });
  }

  /** Declares a queue, binds it, and consumes it. */
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
      // The server deletes the queue with its only consumer.
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

  /** Sends a request on the channel that consumes. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Closes the connection. */
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

/** Puts the messages of a consumer into a tail. */
function listenerOf(source: QueueTail, isPattern: boolean): (message: ConsumeMessage) => void {
  const tracker = new SequenceTracker();
  return ({ fields, properties, content }) => {
    const channel = isPattern ? channelOf(fields.routingKey) : undefined;
    if (isPattern && channel === undefined) return;
    const header: unknown = properties.headers?.[SEQUENCE_HEADER];
    const missed = tracker.missed(typeof header === "string" ? header : undefined);
    if (missed > 0) source.push({ kind: "loss", missed });
    const headers = headersFrom(properties.headers);
    source.push({
      kind: "record",
      payload: content,
      headers,
      ...channel !== undefined && { channel },
    });
  };
}

/** Options for RabbitMQ: the parameters of `amqp://`, and a connection. */
export interface AmqpOptions extends ConnectionOptions {
  /**
   * The topic exchange to publish to. It is created, durable, if it does not exist.
   *
   * @default {"broadcaster"}
   */
  readonly exchange?: string | undefined;
}

/**
 * Channels over RabbitMQ, for `new Broadcast()`.
 *
 * @param options The server, or a connection to it.
 * @throws {TypeError} If `client` is not a connection of amqplib.
 */
export function amqp(options: AmqpOptions = {}): BackendSource {
  const { url, client, exchange } = checkOptions("amqp", options);
  const source = sourceOf({
    schemes: ["amqp", "amqps"],
    url,
    parameters: { ...connectionParameters(options), exchange },
    open: (address) => make(address, client),
  });
  if (client !== undefined) checkConnection(client, source.address);
  return source;
}

/** Makes the backend of `amqp://` and `amqps://`. */
export function open(address: Address): Promise<Backend> {
  return make(address);
}

async function make(address: Address, client?: AmqpConnection): Promise<Backend> {
  const exchange = address.parameters.get("exchange") ?? EXCHANGE;
  return new AmqpBackend(await dialOf(address, "amqp", client), exchange);
}
