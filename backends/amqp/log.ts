/**
 * RabbitMQ streams, from 3.9 on: channels with a past.
 *
 * ## URLs
 *
 * `amqp-stream://…` and `amqps-stream://…`, with host, login, virtual host and TLS
 * as for `amqp://`. A channel is a stream queue, which is created when it is first
 * used, with these limits; one that is there keeps its own.
 *
 * | parameter | |
 * |---|---|
 * | `retention` | how long events are kept, such as `30m`, `12h` or `7d` (the default); `forever` or `0` for no limit |
 * | `maxBytes` | what the events of a channel may take together; no limit by default |
 * | `segmentBytes` | the size of a stream's files, 16 MiB by default: the server drops the past by whole files, and never the last one |
 * | `ca`, `cert`, `key` | paths of PEM files, as for `amqp://` |
 *
 * The queue has the channel's name, so that other programs can publish to it
 * through the default exchange, and consume it: each message is an event. Only a
 * `%`, a line break, and the first letter of what begins with `amq.` become
 * `%25`, `%0A`, `%61`. A name has at most 234 bytes, less those of the virtual host.
 * While a stream is made, an exclusive queue `…%lock` keeps others from making it, too.
 *
 * ## Delivery
 *
 * In one order, and without loss as long as the stream keeps it, also over a lost
 * connection: published with a confirm, read by offset. What was removed before it
 * was read is told as a gap, as is a stream that was deleted. A server that drops
 * files before it has sent them sends nothing more, and does not say so: a tail
 * that falls silent asks after five seconds whether there is more. The server does not
 * tell a publisher where its message lies: `publish()` resolves without an id.
 *
 * Nor does it tell where a stream ends. So who begins to listen at the end, and who
 * asks for the newest events, first publishes an empty message with the header
 * `broadcaster-mark`, which is nobody's event here; other programs see it.
 * Consumers of RabbitMQ's own stream protocol that store their offsets on the
 * server use up offsets: where several follow one another, a gap is told though
 * nothing is missing.
 *
 * Headers are those of `amqp://`, with the same names reserved; the time of a
 * message is in `timestamp_in_ms`. To consumers of the stream protocol they are
 * application properties, or message annotations if they begin with `x-`, from
 * RabbitMQ 3.13 on.
 *
 * It knows no keys: AMQP 0-9-1 has no way to store a message only if another one is not
 * there, and nothing that others wait for, such as an exclusive queue, fences off who had
 * it before. In a cluster that was parted two have the same one, and both are confirmed.
 *
 * Each stream costs the server a process and files: it is meant for hundreds of
 * channels, not for a hundred thousand.
 *
 * ## Escape hatch
 *
 * Pass a connection of amqplib (`ChannelModel`) as `client`. Channels of our own
 * are opened on it, and it is never closed.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
} from "../../core/backend/contract.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { type Dial, dialOf } from "./dial.ts";
import { checkHeaders } from "./headers.ts";
import { queueOf } from "./log/queue_name.ts";
import type { Limits } from "./log/queues.ts";
import { Session } from "./log/session.ts";
import { checkPayload } from "./payload.ts";

/** How long events are kept, in milliseconds, and the size of a stream's files. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;
const SEGMENT = 16 * 1024 * 1024;

/** One connection, however many channels. */
export class AmqpStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "amqp-stream";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    log: true,
    tellsNoPlace: true,
    headers: true,
  };
  readonly #dial: Dial;
  readonly #limits: Limits;
  readonly #vhost: string;
  readonly #held: RenewedConnection<Session> = new RenewedConnection(() => this.#open());

  /**
   * A backend that connects when it is asked to.
   *
   * @param dial How it connects.
   * @param limits What streams are created with.
   * @param vhost The virtual host, which shortens names.
   */
  constructor(dial: Dial, limits: Limits, vhost = "/") {
    this.address = dial.address;
    this.#dial = dial;
    this.#limits = limits;
    this.#vhost = vhost;
  }

  /** Whether the connection was not lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Opens the connection. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /** Names, payloads and headers that the server would refuse. */
  check(channel: string, payload: Payload = "", options?: PayloadOptions): void {
    queueOf(channel, this.#vhost);
    checkPayload(this.name, channel, payload);
    checkHeaders(this.name, channel, options?.headers);
  }

  /** PUBLISH to the queue, each confirmed. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<void>[] {
    return this.#held.current!.writer.publish(queueOf(channel, this.#vhost), payloads, options);
  }

  /** The live end of the stream. */
  tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    return this.#held.current!.tail(queueOf(channel, this.#vhost), after);
  }

  /** A page, from the last message that was seen. */
  read(channel: string, options: ReadOptions): Promise<Page> {
    return this.#held.current!.reader.read(queueOf(channel, this.#vhost), options);
  }

  /** A question that has nothing to answer. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.link.probe(signal);
  }

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #open(): Promise<Session> {
    const link = await this.#dial.connect(() => Promise.resolve());
    // A connection that is given may be closed.
    return new Session(await link.opened(link.publishing), this.#limits);
  }
}

/** Makes the backend of `amqp-stream://` and `amqps-stream://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const limits = limitsOf(address);
  return new AmqpStreamBackend(await dialOf(address, options), limits, address.path || "/");
}

function limitsOf(address: Address): Limits {
  const isForever = address.parameters.get("retention") === "forever";
  const retention = isForever ? 0 : address.duration("retention") ?? RETENTION;
  const maxBytes = address.count("maxBytes");
  return {
    // In whole seconds: the server knows nothing shorter.
    ...retention > 0 && { "x-max-age": `${Math.ceil(retention / 1_000)}s` },
    ...maxBytes !== undefined && { "x-max-length-bytes": maxBytes },
    "x-stream-max-segment-size-bytes": address.count("segmentBytes") ?? SEGMENT,
  };
}
