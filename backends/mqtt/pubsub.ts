/**
 * MQTT 5.
 *
 * ## URLs
 *
 * `mqtt://[user[:password]@]host[:port][?parameters]`, port 1883 unless it is named; `mqtts://` for
 * TLS, port 8883.
 *
 * | parameter | |
 * |---|---|
 * | `ca` | path of a PEM file with the authorities to trust; implies TLS, as do the next two |
 * | `cert`, `key` | paths of PEM files with the client's own certificate and its key |
 * | `clientId` | the name that the server knows the connection by; drawn anew unless it is named |
 *
 * A channel is the topic of its name: `+`, `#`, `%`, control characters and a
 * `$` at the beginning become `%XX` for each of their bytes. A topic has at most
 * 65,535 bytes.
 *
 * ## Delivery
 *
 * With QoS 1, in the order of each publisher. What is published while the
 * connection is lost is lost too, and told as a gap. A server that finds this
 * process too slow drops messages, and says nothing: each message carries its
 * number in a user property, so that a hole is told as a gap with the exact
 * count, once a later message of the same publisher arrives, if an earlier one
 * had. What other programs publish has no number. Bridges between servers may lose
 * messages as well, and carry the numbers only if they speak MQTT 5.
 * Retained messages are of the past, and not delivered. Headers are user properties.
 *
 * A pattern is narrowed to whole levels at its beginning: `room/*` is asked for
 * as `room/#`, `room*` as `#`, which brings every message to this process.
 *
 * ## Escape hatch
 *
 * Pass a connected `MqttClient` with `protocolVersion: 5` as `client`. It is
 * used and never closed; that it may reconnect by itself is told as a gap.
 *
 * @module
 */

import { Buffer } from "node:buffer";
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
import {
  SEQUENCE_HEADER,
  Sequencer,
  SequenceTracker,
} from "../../core/backend/kit/loss_detection.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { onAbort } from "../../core/util/abort.ts";
import { type Dial, dialOf } from "./dial.ts";
import { Filters, type Listener } from "./filters.ts";
import { checkHeaders, headersIn, lengthOf } from "./headers.ts";
import type { Link } from "./link.ts";
import { channelOf, filterOf, topicOf } from "./topic.ts";

/** What the protocol allows for a packet. */
const LARGEST = 268_435_455;
/** What surrounds topic and payload, at most. */
const OVERHEAD = 128;

/** One connection, however many channels. */
export class MqttBackend implements Backend {
  /** The scheme. */
  readonly name = "mqtt";
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
  readonly #held: RenewedConnection<Link> = new RenewedConnection(() => this.#open());
  #filters: Filters | undefined;

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

  /** Names, headers and payloads that the server would refuse. */
  check(channel: string, payload: Payload = "", { headers }: PayloadOptions = {}): void {
    checkHeaders(channel, headers);
    const size = Buffer.byteLength(topicOf(channel)) + Buffer.byteLength(payload) + OVERHEAD +
      lengthOf(headers);
    const largest = this.#held.current?.largest ?? LARGEST;
    if (size <= largest) return;
    throw new RangeError(
      `Cannot publish to "${channel}" on mqtt: the message takes up to ${size} bytes, the server takes ${largest}`,
    );
  }

  /** PUBLISH, each answered by the server. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    besides?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<unknown>[] {
    const link = this.#held.current!;
    const topic = topicOf(channel);
    return payloads.map((payload, index) => {
      const sequence = { [SEQUENCE_HEADER]: this.#sequencer.next(channel) };
      const userProperties = { ...sequence, ...besides?.[index]?.headers };
      const options = { qos: 1, properties: { userProperties } } as const;
      const message = typeof payload === "string" ? payload : Buffer.from(payload);
      return link.askInTurn((answer) => link.client.publish(topic, message, options, answer))
        .then(() => {});
    });
  }

  /** SUBSCRIBE, answered. */
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
      const missed = tracker.missed(Array.isArray(header) ? header[0] : header);
      if (missed > 0) source.push({ cause: "unknown", missed });
      const headers = headersIn(properties?.userProperties);
      source.push({
        payload,
        ...channel !== undefined && { channel },
        ...headers && { headers },
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

  /** PINGREQ. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.probe(signal);
  }

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #open(): Promise<Link> {
    const link = await this.#dial.connect();
    this.#filters = new Filters(link);
    return link;
  }
}

/** Makes the backend of `mqtt://` and `mqtts://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  return new MqttBackend(await dialOf(address, options));
}
