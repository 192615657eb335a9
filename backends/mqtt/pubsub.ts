/**
 * Channels over MQTT 5.
 *
 * ## URLs
 *
 * `mqtt://[user[:password]@]host[:port][?parameters]`, or `mqtts://` for TLS. The default port is
 * 1883, with TLS 8883. The parameters are the options of {@linkcode MqttOptions}, and these
 * parameters of other clients: `connectTimeout` in milliseconds, `rejectUnauthorized=false` to
 * accept every certificate, and `clean=true`, `cleanSession=true` and `protocolVersion=5`, which
 * cannot have another value. Accepted, but ignored: `protocolId`, `reconnectPeriod`, `resubscribe`,
 * `queueQoSZero`. All others are rejected. For MQTT over WebSockets, pass a client.
 *
 * On Deno, `--allow-net=<host>:<port> --ignore-env` is enough. The client looks for variables that
 * it does not need. PEM files need `--allow-read=<path>`.
 *
 * The topic of a channel is its name, of at most 65,535 bytes. `+`, `#`, `%`, control characters
 * and a first `$` are written as their UTF-8 bytes, such as `%2B`.
 *
 * ## Delivery
 *
 * Messages are published with QoS 1, in the order of each publisher. Messages that are published
 * while the connection is lost are lost too, and a gap reports this. Retained messages are older
 * than the subscription, and are not delivered.
 *
 * A server drops messages, without notice, if this process is too slow. Each message has its number
 * in a user property. A gap reports how many were dropped, once a later message of the same
 * publisher arrives, provided that an earlier one had arrived. Messages of other programs have no
 * number. Bridges between servers may lose messages too, and pass the numbers on only if they use
 * MQTT 5.
 *
 * A server that supports only QoS 0 is refused. A server without subscription identifiers, such as
 * AWS IoT, supports channels but not patterns. If a message is over the limit of the server, the
 * client cannot read the answer. The message is then refused, and the connection is opened again,
 * with a gap.
 *
 * Headers are user properties.
 *
 * A pattern is narrowed to the whole levels before its first `*`. `room/*` subscribes to `room/#`.
 * `room*` subscribes to `#`, which delivers every message to this process.
 *
 * ## Escape hatch
 *
 * Pass an `MqttClient` that uses MQTT 5 to the factory: `mqtt({ client })`. The client is never
 * closed. It may reconnect by itself. Events that it loses meanwhile cause a gap.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { mqtt } from "@broadcaster/broadcaster/mqtt";
 * import { connectAsync } from "mqtt";
 *
 * const client = await connectAsync("mqtt://localhost", { protocolVersion: 5 });
 * const broadcast = new Broadcast(mqtt({ client }));
 * await broadcast.disconnect();
 * await client.endAsync();
 * ```
 *
 * @module
 */

import { Buffer } from "node:buffer";
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
import { RefusedError, TemporaryError } from "../../core/backend/errors.ts";
import {
  SEQUENCE_HEADER,
  Sequencer,
  SequenceTracker,
} from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import { nameOf } from "../../core/backend/name.ts";
import { onAbort } from "../../core/util/abort.ts";
import {
  checkMqttClient,
  type Dial,
  dialOf,
  dialOver,
  MQTT_OPTIONS,
  type MqttOptions,
} from "./dial.ts";
import { factsOf } from "./facts.ts";
import { Filters, type Listener } from "./filters.ts";
import { checkHeaders, headersIn, lengthOf } from "./headers.ts";
import type { Link } from "./link.ts";
import { channelOf, filterOf, topicOf } from "./topic.ts";

export type { MqttClient, MqttOptions } from "./dial.ts";

/** The size of the largest packet of the protocol, in bytes. */
const LARGEST = 268_435_455;
/** The maximum size of a packet without topic, payload and headers, in bytes. */
const OVERHEAD = 128;

/** Uses one connection for any number of channels. */
export class MqttBackend implements Backend {
  /** The scheme. */
  readonly name = "mqtt";
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
  readonly #sequencer = new Sequencer();
  readonly #held: RenewedConnection<Link> = new RenewedConnection(() => this.#open());
  #filters: Filters | undefined;

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param dial Connects to the server.
   */
  constructor(dial: Dial) {
    this.address = dial.address;
    this.#dial = dial;
  }

  /** Whether the connection was not lost. */
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

  /** Rejects names, headers and payloads that the server would refuse. */
  check(channel: string, payload: Payload = "", { headers }: PayloadOptions = {}): void {
    checkHeaders(channel, headers);
    const size = Buffer.byteLength(topicOf(channel)) + Buffer.byteLength(payload) + OVERHEAD +
      lengthOf(headers);
    const largest = this.#held.current?.largest ?? LARGEST;
    if (size <= largest) return;
    throw new RangeError(
      `Cannot publish to ${
        nameOf(channel)
      } on mqtt: the message takes up to ${size} bytes, the server takes ${largest}`,
    );
  }

  /** Publishes each message with QoS 1. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    const link = this.#held.current!;
    return messages.map(async ({ channel, payload, headers }) => {
      const message = typeof payload === "string" ? payload : Buffer.from(payload);
      let number: string | undefined;
      try {
        await link.publishInTurn((answer) => {
          // An unsent message uses no number.
          number = this.#sequencer.next(channel);
          const userProperties = { [SEQUENCE_HEADER]: number, ...headers };
          const options = { qos: 1, properties: { userProperties } } as const;
          link.client.publish(topicOf(channel), message, options, answer);
        });
      } catch (error) {
        const isUnstored = error instanceof TemporaryError || error instanceof RefusedError;
        if (isUnstored && number !== undefined) this.#sequencer.takeBack(channel, number);
        throw error;
      }
      return undefined;
    });
  }

  /** Subscribes, and waits until the server has confirmed that. */
  async tail(target: Target): Promise<Tail> {
    const [link, filters] = [this.#held.current!, this.#filters!];
    link.loss.throwIfAborted();
    const isPattern = typeof target !== "string";
    const filter = filterOf(target);
    const tracker = new SequenceTracker();
    const hear: Listener = (topic, payload, { properties }) => {
      const channel = isPattern ? channelOf(topic) : undefined;
      if (isPattern && channel === undefined) return;
      const header = properties?.userProperties?.[SEQUENCE_HEADER];
      const loss = tracker.loss(Array.isArray(header) ? header[0] : header);
      if (loss) source.push(loss);
      source.push({
        kind: "record",
        payload,
        headers: headersIn(properties?.userProperties),
        ...channel !== undefined && { channel },
      });
    };
    const source = new QueueTail(async () => {
      forget();
      await filters.remove(filter, hear);
    });
    const forget = onAbort(link.loss, () => source.error(link.loss.reason));
    try {
      await filters.add(filter, hear);
    } catch (error) {
      forget();
      throw error;
    }
    return source;
  }

  /** Sends a PINGREQ. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return factsOf(this.#held.current!);
  }

  /** Closes the connection, unless it is the user's. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #open(): Promise<Link> {
    const link = await this.#dial.connect();
    this.#filters = new Filters(link);
    return link;
  }
}

/**
 * Channels over MQTT 5, for `new Broadcast()`.
 *
 * @param options The server, or a client that is connected to it.
 * @throws {TypeError} If the URL is malformed, or if `client` is not an `MqttClient` of the
 * package `mqtt` that uses MQTT 5.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { mqtt } from "@broadcaster/broadcaster/mqtt";
 *
 * const broadcast = new Broadcast(mqtt({ url: "mqtt://localhost", clientId: "chat-1" }));
 * await broadcast.disconnect();
 * ```
 */
export function mqtt(options: MqttOptions = {}): BackendSource {
  const { url, client, ...parameters } = checkOptions("mqtt", options, MQTT_OPTIONS);
  const source = sourceOf({
    schemes: ["mqtt", "mqtts"],
    url,
    parameters,
    open: (address) => client ? new MqttBackend(dialOver(client, address)) : open(address),
  });
  if (client !== undefined) checkMqttClient(client, source.address);
  return source;
}

/** Opens the backend of `mqtt://` and `mqtts://`. */
export async function open(address: Address): Promise<Backend> {
  return new MqttBackend(await dialOf(address));
}
