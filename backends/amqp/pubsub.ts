/**
 * Channels over RabbitMQ, and other servers of AMQP 0-9-1.
 *
 * ## URLs
 *
 * `amqp://[user[:password]@]host[:port][/vhost][?parameters]`, or `amqps://` for TLS. The default
 * port is 5672, with TLS 5671; the default user and password are `guest`, the default virtual host
 * is `/`. The parameters are the options of {@linkcode AmqpOptions}, and these parameters of other
 * clients:
 *
 * | parameter | meaning |
 * | --- | --- |
 * | `vhost` | the virtual host, if the path names none |
 * | `frame_max`, `channel_max` | same as `frameMax`, `channelMax` |
 * | `connection_timeout` | limit for connecting, in milliseconds |
 * | `auth_mechanism` | `plain`, `amqplain`, or `external` for a client certificate |
 * | `cacertfile`, `certfile`, `keyfile` | same as `ca`, `cert`, `key` |
 * | `verify` | `verify_none` accepts every certificate, `verify_peer` is the default |
 * | `server_name_indication` | the name that the certificate must have, in place of the host |
 *
 * Accepted, but ignored: `locale`, `connection_attempts`, `retry_delay`, `reconnect_interval`,
 * `socket_timeout`, `blocked_connection_timeout`, `fail_fast`, `fail_if_no_peer_cert`, `name`. All
 * others are rejected.
 *
 * ## Permissions
 *
 * On Deno, `--allow-net=<host>:<port>` is enough; PEM files need `--allow-read=<path>`.
 *
 * At the server, publishing needs the right to write to the exchange. A subscription needs the right
 * to configure, write and read queues that begin with `amq.gen`, and to read the exchange. The
 * exchange is created if the user may configure it; otherwise it must exist.
 *
 * ## Connections
 *
 * A process publishes over one connection. The first subscription opens a second one, with a queue
 * for each channel, and one queue more. An empty message is sent to that queue once it is open, and
 * at each probe. If the message does not come back, new subscriptions are refused, and open ones are
 * opened again with a gap. The routing key of the message ends in `.-control`, and its header is
 * `broadcaster-token`: another program receives it only with a binding such as `#`. Without the
 * right to publish, there is no such check.
 *
 * While the server is short of memory or disk, it blocks publishing. Messages wait for up to the
 * option `timeout`, and then reject as not published. Subscriptions continue. After a pause of half
 * a second, an empty message without a receiver is sent first, so that the server can report that
 * it blocks.
 *
 * A deleted exchange is declared again, with a gap. A removed binding is noticed only if this
 * process has published to the channel, and has not received its own message for five seconds. The
 * queue is then bound again, with a gap.
 *
 * The routing key of a channel is its name, of at most 255 bytes. A word that is `*` or `#` alone,
 * and each `%`, become `%2A`, `%23` and `%25`.
 *
 * ## Delivery
 *
 * Messages are published with confirms. Each channel that is subscribed to has a queue of its own,
 * which the server deletes with the connection. Messages that are published while the connection is
 * lost are lost too, and a gap reports this. The same applies to a deleted queue. A message over
 * the limit of the server (`max_message_size`) is refused alone, and the messages after it are sent
 * again.
 *
 * Each message has its number in a header. If a policy drops messages from the queue
 * (`max-length`), a gap reports how many, once a later message of the same publisher arrives,
 * provided that an earlier one had arrived. Messages of other programs have no number.
 *
 * A pattern is bound by its whole words at both ends. `room.*.end` is bound as `room.#.end`.
 * `room*` is bound as `#`, which delivers every message to this process.
 *
 * ## Headers
 *
 * Each header is a text under its own name in the message's headers table, and its name has at most
 * 255 bytes. The library's own entries begin with `broadcaster-`. Entries of other programs arrive
 * as text if they are numbers, booleans, or bytes that are UTF-8. Arrays and tables do not arrive.
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
 * Pass a connection of amqplib as `client`. The backend opens channels on it, and never closes it.
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
import { SEQUENCE_HEADER, Sequencer } from "../../core/backend/kit/loss_detection.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import {
  type AmqpConnection,
  checkConnection,
  CONNECTION_OPTIONS,
  type ConnectionOptions,
  connectionParameters,
  type Dial,
  dialOf,
} from "./dial.ts";
import { codeOf, explain } from "./errors.ts";
import { declareExchange } from "./exchange.ts";
import { checkFrame, checkHeaders, type Table, tableOf } from "./headers.ts";
import { onLoss } from "./link.ts";
import { Links } from "./links.ts";
import { checkPayload, contentOf } from "./payload.ts";
import { keyOf } from "./routing_key.ts";
import { Tails } from "./tails.ts";

export type { AmqpConnection, ConnectionOptions } from "./dial.ts";

/** The default exchange. */
const EXCHANGE = "broadcaster";

/** Uses two connections for any number of channels. One of them publishes. */
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
  readonly #exchange: string;
  readonly #sequencer = new Sequencer();
  readonly #links: Links;
  readonly #tails: Tails;

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param dial Connects to the server.
   * @param exchange The topic exchange to publish to.
   */
  constructor(dial: Dial, exchange: string = EXCHANGE) {
    this.address = dial.address;
    this.#exchange = exchange;
    this.#links = new Links(dial, {
      prepare: (link) => declareExchange(link, exchange),
      onPublishing: ({ outbox }) => {
        // The exchange was deleted, with all bindings.
        outbox.onRefused = (error) => codeOf(error) === 404 && this.#tails.lose(explain(error));
      },
      onListening: (link) => {
        this.#tails.doubt();
        onLoss(link, () => this.#tails.lose(link.loss.reason));
        link.consuming.onClosed((error) => this.#tails.lose(error));
      },
    });
    this.#tails = new Tails(this.#links, exchange);
  }

  /** Whether no connection was lost. */
  get connected(): boolean {
    return !this.#links.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#links.connections;
  }

  /** Opens the publishing connection, and creates the exchange. */
  connect(): Promise<void> {
    return this.#links.renew();
  }

  /** Rejects names, payloads and headers that the server would refuse. */
  check(channel: string, payload: Payload = "", options?: PayloadOptions): void {
    keyOf(channel);
    checkPayload(this.name, channel, payload);
    checkHeaders(this.name, channel, options?.headers);
  }

  /** Publishes each message with a confirm. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    const link = this.#links.publishing;
    return messages.map(async ({ channel, payload, headers: given }) => {
      if (given) checkFrame(given, link.frame);
      const headers = () => {
        const own = { [SEQUENCE_HEADER]: this.#sequencer.next(channel) };
        return given ? tableOf(given, own) : own;
      };
      const [key, content] = [keyOf(channel), contentOf(payload)];
      const onUnstored = (table: Table) =>
        this.#sequencer.takeBack(channel, String(table[SEQUENCE_HEADER]));
      const sending = { exchange: this.#exchange, key, content, headers, onUnstored };
      this.#tails.expect(channel, (await link.outbox.send(sending))[SEQUENCE_HEADER]);
      return undefined;
    });
  }

  /** Declares a queue, binds it, and consumes it. */
  async tail(target: Target): Promise<Tail> {
    try {
      return await this.#tails.open(target);
    } catch (error) {
      throw this.#links.judged(error);
    }
  }

  /** Sends a request on both connections, and a token from one to the other. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#links.probe(signal), this.#tails.probe(signal)]);
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return Promise.resolve(this.#links.publishing.describe());
  }

  /** Closes the connections. */
  close(): Promise<void> {
    return this.#links.close();
  }
}

/** Options for RabbitMQ: the parameters of `amqp://`, and a connection. */
export interface AmqpOptions extends ConnectionOptions {
  /**
   * The topic exchange to publish to. It is created as durable if it does not exist.
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
  const { url, client, exchange } = checkOptions("amqp", options, {
    ...CONNECTION_OPTIONS,
    exchange: true,
  });
  const source = sourceOf({
    schemes: ["amqp", "amqps"],
    url,
    parameters: { ...connectionParameters(options), exchange },
    open: (address) => make(address, client),
  });
  if (client !== undefined) checkConnection(client, source.address);
  return source;
}

/** Opens the backend of `amqp://` and `amqps://`. */
export function open(address: Address): Promise<Backend> {
  return make(address);
}

async function make(address: Address, client?: AmqpConnection): Promise<Backend> {
  const exchange = address.parameters.get("exchange") ?? EXCHANGE;
  return new AmqpBackend(await dialOf(address, "amqp", client), exchange);
}
