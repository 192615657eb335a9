/**
 * Channels with a log over the streams of RabbitMQ, from version 3.9 on.
 *
 * ## URLs
 *
 * `amqp-stream://…` and `amqps-stream://…`, with host, login, virtual host, TLS and parameters of
 * other clients as for `amqp://`. The parameters are the options of
 * {@linkcode AmqpStreamOptions}. On Deno, `--allow-net=<host>:<port>` is enough.
 *
 * A channel is a stream queue of the same name. It is created when it is first used. An existing
 * queue keeps its own limits. Other programs can publish to it through the default exchange, and
 * consume it: each message is an event. In the name of the queue, `%`, line breaks, and the first
 * letter of a name that begins with `amq.` are written `%25`, `%0A`, `%0D` and `%61`. A name has at
 * most 234 bytes, minus the length of the virtual host's name. While a stream is created, an
 * exclusive queue with the suffix `%lock` keeps other processes from creating the same stream.
 *
 * Each stream costs the server a process and files, and is not deleted. It is meant for hundreds of
 * channels, not for a hundred thousand. If untrusted clients choose names of channels, set
 * `create=false` and create the streams yourself, or lower `maxStreams`, the number of streams that
 * one process creates (1,000).
 *
 * A process publishes over one connection, and reads over a second one. While the server is short
 * of memory or disk, messages wait for up to the option `timeout`, and then reject as not
 * published. Open subscriptions continue.
 *
 * ## Delivery
 *
 * All subscribers get the same order. Nothing is lost while the stream stores the events, even if a
 * connection is lost: messages are published with confirms, and read by offset. A gap means that
 * events were removed before they were read (`trimmed`), or that the stream was deleted or lost its
 * end (`reset` or `rollback`). The number of missing events is not known.
 *
 * If the server removes a file before sending it, it sends nothing more, without an error. So a
 * tail that receives nothing for five seconds checks whether the stream has more.
 *
 * The server does not report the offset of a published message, so `publish()` resolves without an
 * id. It does not report the end of a stream either. So a subscription that starts at the end, and
 * a request for the newest events, first publish an empty message with the header
 * `broadcaster-mark`. It is not an event here, but other programs see it. Consumers of RabbitMQ's
 * own stream protocol use up offsets when they store their position on the server. Several such
 * offsets in a row cause a gap, although no event is missing.
 *
 * Headers work as on `amqp://`, with the same reserved names. The time of a message is in
 * `timestamp_in_ms`. From RabbitMQ 3.13 on, consumers of the stream protocol receive headers as
 * application properties, or as message annotations if their names begin with `x-`.
 *
 * There are no idempotency keys. AMQP 0-9-1 has no conditional publish, and no lock that excludes
 * its previous owner: in a partitioned cluster, two clients hold the same exclusive queue, and both
 * of their messages are confirmed.
 *
 * ## Escape hatch
 *
 * Pass a connection of amqplib as `client`. The backend opens channels on it, and never closes it.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { amqpStream } from "@broadcaster/broadcaster/amqp-stream";
 * import { connect } from "amqplib";
 *
 * const client = await connect("amqp://localhost");
 * const broadcast = new Broadcast(amqpStream({ client, retention: "12h" }));
 * await broadcast.disconnect();
 * await client.close();
 * ```
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  ServerFacts,
  Tail,
  TailOptions,
} from "../../core/backend/contract.ts";
import { checkOptions, durationText, sourceOf } from "../../core/backend/kit/source.ts";
import {
  type AmqpConnection,
  checkConnection,
  CONNECTION_OPTIONS,
  type ConnectionOptions,
  connectionParameters,
  type Dial,
  dialOf,
} from "./dial.ts";
import { checkHeaders } from "./headers.ts";
import { queueOf } from "./log/queue_name.ts";
import { Links } from "./links.ts";
import { type Creation, type Limits, Queues } from "./log/queues.ts";
import { Session } from "./log/session.ts";
import { Writer } from "./log/writer.ts";
import { wishesOf } from "./parameters.ts";
import { checkPayload } from "./payload.ts";

export type { AmqpConnection, ConnectionOptions } from "./dial.ts";

/** How long events are stored by default, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;
/** The number of streams that a process may create by default. */
const CREATION: Creation = { isAllowed: true, most: 1_000 };
/** The default size of a stream's files, in bytes. */
const SEGMENT = 16 * 1024 * 1024;

/** Uses two connections for any number of channels. One of them publishes. */
export class AmqpStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "amqp-stream";
  /** The server, as it appears in messages. */
  readonly address: string;
  /** A log with headers. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    tellsNoPlace: true,
    headers: true,
  };
  readonly #vhost: string;
  readonly #links: Links;
  readonly #writer: Writer;
  readonly #queues: Queues;
  #session: Session | undefined;

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param dial Connects to the server.
   * @param limits The arguments that streams are created with.
   * @param vhost The virtual host. Its name reduces the maximum length of channel names.
   * @param creation Which streams may be created.
   */
  constructor(dial: Dial, limits: Limits, vhost = "/", creation: Creation = CREATION) {
    this.address = dial.address;
    this.#vhost = vhost;
    this.#links = new Links(dial, {
      onPublishing: (link) => {
        this.#queues.forgetAll();
        this.#writer.use(link);
      },
      onListening: (link) => {
        this.#queues.forgetAll();
        this.#session = new Session(link, this.#queues, this.#writer, () => this.#links.ended());
      },
    });
    this.#queues = new Queues(() => this.#links.any, limits, creation);
    this.#writer = new Writer(() => this.#links.publishing, this.#queues);
  }

  /** Whether no connection was lost. */
  get connected(): boolean {
    return !this.#links.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#links.connections;
  }

  /** Opens the publishing connection. */
  connect(): Promise<void> {
    return this.#links.renew();
  }

  /** Rejects names, payloads and headers that the server would refuse. */
  check(channel: string, payload: Payload = "", options?: PayloadOptions): void {
    queueOf(channel, this.#vhost);
    checkPayload(this.name, channel, payload);
    checkHeaders(this.name, channel, options?.headers);
  }

  /** Publishes each message to its queue, with a confirm. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return this.#writer.publish(
      messages.map((message) => ({ ...message, channel: queueOf(message.channel, this.#vhost) })),
    );
  }

  /** Opens the live end of the stream. */
  async tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    return await this.#reading((session) => session.tail(queueOf(channel, this.#vhost), after));
  }

  /** Reads a page of the stream. */
  async read(channel: string, options: ReadOptions): Promise<Page> {
    return await this.#reading(({ reader }) => reader.read(queueOf(channel, this.#vhost), options));
  }

  /** Sends a no-op request on both connections. */
  probe(signal: AbortSignal): Promise<void> {
    return this.#links.probe(signal);
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return Promise.resolve(this.#links.publishing.describe());
  }

  /** Closes the connections. */
  close(): Promise<void> {
    return this.#links.close();
  }

  async #reading<Value>(read: (session: Session) => Promise<Value>): Promise<Value> {
    await this.#links.listening();
    try {
      return await read(this.#session!);
    } catch (error) {
      throw this.#links.judged(error);
    }
  }
}

/** Options for streams of RabbitMQ: the parameters of `amqp-stream://`, and a connection. */
export interface AmqpStreamOptions extends ConnectionOptions {
  /**
   * How long events are stored: a number of milliseconds, or text with a unit such as `"12h"` or
   * `"7d"`; `"forever"` or 0 for no limit. The server counts in whole seconds.
   *
   * @default {"7d"}
   */
  readonly retention?: number | string | undefined;
  /**
   * The limit for the events of one channel, in bytes.
   *
   * @default {no limit}
   */
  readonly maxBytes?: number | undefined;
  /**
   * The size of a stream's files, in bytes. The server removes old events by whole files, and never
   * the last file.
   *
   * @default {16777216}
   */
  readonly segmentBytes?: number | undefined;
  /**
   * Whether a missing stream is created. Otherwise, its channel is refused.
   *
   * @default {true}
   */
  readonly create?: boolean | undefined;
  /**
   * The number of streams that this process may create, since each stream costs the server a
   * process and files, and is not deleted. Beyond that, channels without a stream are refused.
   * Streams that existed before their first use also count.
   *
   * @default {1000}
   */
  readonly maxStreams?: number | undefined;
}

/**
 * Channels with a log over streams of RabbitMQ, for `new Broadcast()`.
 *
 * @param options The server, or a connection to it, and the limits of new streams.
 * @throws {TypeError} If `client` is not a connection of amqplib.
 */
export function amqpStream(options: AmqpStreamOptions = {}): BackendSource {
  const { url, client, retention, maxBytes, segmentBytes, create, maxStreams } = checkOptions(
    "amqpStream",
    options,
    {
      ...CONNECTION_OPTIONS,
      retention: true,
      maxBytes: true,
      segmentBytes: true,
      create: true,
      maxStreams: true,
    },
  );
  const source = sourceOf({
    schemes: ["amqp-stream", "amqps-stream"],
    url,
    parameters: {
      ...connectionParameters(options),
      ...{ retention: durationText(retention), maxBytes, segmentBytes, create, maxStreams },
    },
    open: (address) => make(address, client),
  });
  if (client !== undefined) checkConnection(client, source.address);
  return source;
}

/** Opens the backend of `amqp-stream://` and `amqps-stream://`. */
export function open(address: Address): Promise<Backend> {
  return make(address);
}

async function make(address: Address, client?: AmqpConnection): Promise<Backend> {
  const limits = limitsOf(address);
  const creation = {
    isAllowed: address.choice("create", ["true", "false"]) !== "false",
    most: address.count("maxStreams", 0) ?? CREATION.most,
  };
  const { vhost } = wishesOf(address);
  const dial = await dialOf(address, "amqpStream", client);
  return new AmqpStreamBackend(dial, limits, vhost, creation);
}

function limitsOf(address: Address): Limits {
  const isForever = address.parameters.get("retention") === "forever";
  const retention = isForever ? 0 : address.duration("retention") ?? RETENTION;
  const maxBytes = address.count("maxBytes");
  return {
    // The server counts in whole seconds.
    ...retention > 0 && { "x-max-age": `${Math.ceil(retention / 1_000)}s` },
    ...maxBytes !== undefined && { "x-max-length-bytes": maxBytes },
    "x-stream-max-segment-size-bytes": address.count("segmentBytes") ?? SEGMENT,
  };
}
