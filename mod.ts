/**
 * Realtime broadcast channels over memory, Redis, Postgres, Kafka, RabbitMQ, NATS
 * and MQTT, with one small API whose subscriptions are `ReadableStream`s. The URL scheme selects the
 * backend, which is loaded on first use.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import assert from "node:assert/strict";
 *
 * const broadcast = new Broadcast("memory://");
 * const subscription = await broadcast.subscribe("chatroom");
 * await broadcast.publish("chatroom", "hello");
 *
 * for await (const event of subscription) {
 *   assert.equal(event.message, "hello");
 *   break;
 * }
 * await broadcast.disconnect();
 * ```
 *
 * @module
 */

import { AMQP, KAFKA, MQTT, NATS, OTHER_SCHEMES, POSTGRES, REDIS } from "./backends/parameters.ts";
import { BroadcastCore } from "./core/api/broadcast.ts";
import type { ChannelName, EventOf } from "./core/api/channel_map.ts";
import type { BroadcastHealth } from "./core/api/health.ts";
import type { BroadcastEventMap } from "./core/api/notifications.ts";
import {
  BROADCAST_OPTIONS,
  type BroadcastOptions,
  type HistoryOptions,
  type PublishOptions,
  type SubscribeOptions,
  type WritableOptions,
} from "./core/api/options.ts";
import { checkParameters } from "./core/api/parameters.ts";
import { CORE_PARAMETERS, readSettings } from "./core/api/settings.ts";
import type { BroadcastStats } from "./core/api/stats.ts";
import type { Subscription } from "./core/api/subscription.ts";
import type { SubscribeTarget } from "./core/api/target.ts";
import { Address } from "./core/backend/address.ts";
import type { Backend, BackendSource } from "./core/backend/contract.ts";
import type { BroadcastState } from "./core/backend/state.ts";
import type { Alternatives } from "./core/broker/capabilities.ts";
import { checkCodec, type Codec, json, text } from "./core/codec/codec.ts";
import { type ChannelsOf, checked, type Schema } from "./core/codec/schema.ts";
import { kindOf } from "./core/util/kind.ts";
import { checkKnown as checkKnownOptions } from "./core/util/known_options.ts";
import { quote } from "./core/util/quote.ts";

export type { ChannelName, EventOf } from "./core/api/channel_map.ts";
export type { BroadcastHealth } from "./core/api/health.ts";
export {
  type BroadcastEventMap,
  GapEvent,
  MessageErrorEvent,
  StateChangeEvent,
} from "./core/api/notifications.ts";
export type {
  BroadcastOptions,
  HistoryOptions,
  PublishOptions,
  SubscribeOptions,
  WritableOptions,
} from "./core/api/options.ts";
export type { BroadcastStats } from "./core/api/stats.ts";
export { Subscription, type SubscriptionIterator } from "./core/api/subscription.ts";
export type { SubscribeTarget } from "./core/api/target.ts";
export {
  ClosedError,
  ConnectionError,
  GapError,
  OutcomeUnknownError,
  RefusedError,
} from "./core/backend/errors.ts";
export type { BroadcastEvent, Gap, GapCause } from "./core/backend/event.ts";
export type { BroadcastState } from "./core/backend/state.ts";
export type { ChannelStats } from "./core/fanout/channel_stats.ts";
export { bytes, type Codec, json, type SyncCodec, text } from "./core/codec/codec.ts";
export { compressed, type CompressedOptions } from "./core/codec/compressed.ts";
export { encrypted, type EncryptionKeys } from "./core/codec/encrypted.ts";
export {
  type ChannelsOf,
  type Schema,
  type SchemaIssue,
  ValidationError,
} from "./core/codec/schema.ts";

/** Features of a log whose records have headers. */
const LOG = ["log", "headers"] as const;

/** Known URL schemes. Only literal `import()` specifiers survive publishing. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  memory: {
    load: () => import("./backends/memory/log.ts"),
    has: [...LOG, "keys"],
    parameters: ["history"],
  },
  "broadcast-channel": { load: () => import("./backends/broadcast_channel/pubsub.ts") },
  ...both("redis", "rediss", {
    load: () => import("./backends/redis/pubsub.ts"),
    ...REDIS,
  }),
  ...both("redis-stream", "rediss-stream", {
    load: () => import("./backends/redis/log.ts"),
    has: [...LOG, "keys"],
    ...REDIS,
    parameters: [...REDIS.parameters, "maxlen"],
  }),
  ...both("postgres", "postgresql", {
    load: () => import("./backends/postgres/pubsub.ts"),
    ...POSTGRES,
    ignored: [...POSTGRES.ignored, "schema"],
  }),
  ...both("postgres-stream", "postgresql-stream", {
    load: () => import("./backends/postgres/log.ts"),
    has: [...LOG, "keys"],
    ...POSTGRES,
    parameters: [...POSTGRES.parameters, "schema", "retention", "pool"],
  }),
  kafka: {
    load: () => import("./backends/kafka/log.ts"),
    has: LOG,
    ...KAFKA,
  },
  ...both("amqp", "amqps", {
    load: () => import("./backends/amqp/pubsub.ts"),
    has: ["headers"],
    ...AMQP,
    parameters: ["exchange", ...AMQP.parameters],
  }),
  ...both("amqp-stream", "amqps-stream", {
    load: () => import("./backends/amqp/log.ts"),
    has: LOG,
    ...AMQP,
    parameters: [
      ...AMQP.parameters,
      ...["retention", "maxBytes", "segmentBytes", "create", "maxStreams"],
    ],
  }),
  ...both("mqtt", "mqtts", {
    load: () => import("./backends/mqtt/pubsub.ts"),
    has: ["headers"],
    ...MQTT,
  }),
  nats: {
    load: () => import("./backends/nats/pubsub.ts"),
    has: ["headers"],
    ...NATS,
  },
  "nats-stream": {
    load: () => import("./backends/nats/log.ts"),
    has: [...LOG, "keys"],
    ...NATS,
    parameters: [
      ...NATS.parameters,
      ...["stream", "retention", "maxlen", "maxBytes", "storage", "replicas"],
    ],
  },
};

/** A URL scheme. */
interface Scheme {
  /** Loads the backend's module. */
  readonly load: () => Promise<{ open(address: Address): Backend | Promise<Backend> }>;
  /** The optional features that the scheme supports. */
  readonly has?: readonly (keyof Alternatives)[];
  /** URL parameters, in addition to those of every scheme. */
  readonly parameters?: readonly string[];
  /** Parameters in URLs of providers and other clients that are ignored here. */
  readonly ignored?: readonly string[];
  /** Advice about other clients' parameters that cannot be ignored, by name. */
  readonly hints?: Readonly<Record<string, string>>;
  /** Whether `<scheme>+unix` is followed by the path of a Unix socket. */
  readonly unix?: boolean;
  /** The scheme that this one is an alias of. */
  readonly alias?: string;
}

/** A scheme and its aliases. */
function both(name: string, alias: string, scheme: Scheme): Record<string, Scheme> {
  const other = { ...scheme, alias: name };
  return { [name]: scheme, [alias]: other, ...scheme.unix && { [`${name}+unix`]: other } };
}

/** Schemes that support each optional feature, for error messages. */
const ALTERNATIVES: Alternatives = {
  log: having("log"),
  headers: having("headers"),
  keys: having("keys"),
};

function having(feature: keyof Alternatives): string[] {
  return Object.keys(SCHEMES).filter((name) => {
    const { alias, has } = SCHEMES[name]!;
    return alias === undefined && has?.includes(feature);
  });
}

/**
 * Realtime channels over one broker.
 *
 * Connects on first use; call `connect()` to detect a bad address early. Lost connections are
 * retried indefinitely, with exponential backoff and jitter. Subscriptions stay open meanwhile, and
 * report a gap if events may have been missed.
 *
 * Dispatches `statechange`, `gap` and `messageerror` events. The channels of
 * `node:diagnostics_channel` are `broadcaster:publish`, `broadcaster:subscribe`, `broadcaster:gap`
 * and `broadcaster:reconnect`. `DEBUG=broadcaster` or `NODE_DEBUG=broadcaster` logs to standard
 * error, without messages and credentials.
 *
 * @typeParam Channels Maps channel names to the messages that are received.
 * @typeParam Published Maps channel names to the messages that may be published. Differs from
 * `Channels` only if a schema transforms messages: see `ChannelsOf`.
 *
 * @example
 * ```ts
 * import { Broadcast, json } from "@broadcaster/broadcaster";
 *
 * interface Channels {
 *   chatroom: { user: string; text: string };
 *   [price: `price:${string}`]: number;
 * }
 *
 * const broadcast: Broadcast<Channels> = new Broadcast("memory://", { codec: json() });
 * await broadcast.publish("price:gold", 2_650);
 * await broadcast.disconnect();
 * ```
 */
export interface Broadcast<
  Channels extends object = Record<string, string>,
  Published extends object = Channels,
> extends EventTarget, AsyncDisposable {
  /** State of the connection to the broker. */
  readonly state: BroadcastState;

  /**
   * Connects to the broker, unless it is connected already. Optional: the first use connects too.
   *
   * @param options Additional options: `signal` aborts the call.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If the broker refuses the connection, for example for a wrong password.
   * @throws {TypeError} If a URL parameter has a value that the backend cannot use.
   * @throws {Error} If the client library is not installed.
   * @throws {ClosedError} After `disconnect()`.
   */
  connect(options?: { signal?: AbortSignal | undefined }): Promise<void>;

  /**
   * Publishes a message to a channel.
   *
   * Messages of one publisher keep their order, even if they are not awaited. With an asynchronous
   * codec, the order is kept only within each channel. Messages that are published without an
   * `await` in between are sent as one batch. While the connection is being re-established,
   * messages wait for up to the option `timeout`.
   *
   * @param channel The channel to publish to.
   * @param message The message to publish.
   * @param options Additional options.
   * @returns Resolves once the broker has accepted the message, with the event's id or, if the
   * backend does not know it, `undefined`.
   * @throws {TypeError} If the channel name, the message or an option is invalid. It is a
   * `ValidationError` if the channel's schema rejects the message.
   * @throws {RangeError} If the channel name has more than 2,048 bytes, the message more than
   * `maxMessage`, or one of them is too long for the broker.
   * @throws {DOMException} A `TimeoutError` if the codec or the schema does not settle in time. The
   * message was not sent.
   * @throws {ConnectionError} If there was no connection. The message was not sent.
   * @throws {OutcomeUnknownError} If the message was sent, but never acknowledged.
   * @throws {RefusedError} If the broker refuses the message.
   * @throws {ClosedError} After `disconnect()`.
   */
  publish<Name extends ChannelName<Published>>(
    channel: Name,
    message: Published[Name],
    options?: PublishOptions,
  ): Promise<string | undefined>;

  /**
   * Subscribes to a channel, several channels, or all channels that match a pattern.
   *
   * A process subscribes at the broker once per channel or pattern, however many subscriptions
   * there are. Publishers receive their own events.
   *
   * - **Several channels**: order is kept within each channel, not across channels. An event's id
   *   is a position in all of them. `history` is the number of events of all channels together,
   *   merged by timestamp.
   * - **Patterns**: `*` matches any number of characters. Not all backends support patterns.
   *   `history`, and `after` with an id from another process, need one position that covers all
   *   channels: only `memory://` and `nats-stream://` have it.
   *
   * @param target The channel, channels or pattern to subscribe to.
   * @param options Additional options.
   * @returns Resolves once the broker has confirmed the subscription. Later messages are received.
   * @throws {TypeError} If the target or an option is invalid, or the backend does not support it.
   * @throws {RangeError} If there are more than 32 channels, their joint id is too long, or
   * `history` is not a number of events.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If the broker refuses the subscription.
   * @throws {ClosedError} After `disconnect()`.
   */
  subscribe<Name extends ChannelName<Channels>>(
    target: SubscribeTarget<Name>,
    options?: SubscribeOptions,
  ): Promise<Subscription<Channels[Name], Name, EventOf<Channels, Name>>>;

  /**
   * Reads a page of a channel's history: the most recent events, or the events `before` or `after`
   * an id.
   *
   * To page backwards, pass the id of the first event as `before`. To page forwards, pass the id of
   * the last event as `after`.
   *
   * @param channel The channel to read.
   * @param options Additional options.
   * @returns The events, oldest first. Empty at the end of the log. If events after `after` are no
   * longer in the log, the first event carries a gap.
   * @throws {TypeError} If the backend has no log, or an id is not of this channel.
   * @throws {RangeError} If `limit` is not a whole number of at least 1.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If the broker refuses the read.
   * @throws {ClosedError} After `disconnect()`.
   */
  history<Name extends ChannelName<Channels>>(
    channel: Name,
    options?: HistoryOptions,
  ): Promise<EventOf<Channels, Name>[]>;

  /**
   * Creates a `WritableStream` that publishes to a channel:
   * `source.pipeTo(broadcast.writable("run:42"))`.
   *
   * Up to 64 messages may be unacknowledged; beyond that, backpressure is applied until the broker
   * has accepted the oldest one.
   *
   * A failed publish errors the stream. Messages written after the failed one may be published
   * nevertheless, if they were in flight. `close()` resolves once the broker has accepted all
   * messages, and rejects if one has failed. `abort()` does not retract messages that were written.
   *
   * @param channel The channel to publish to.
   * @param options Additional options.
   * @throws {TypeError} If the channel name or an option is invalid.
   * @throws {RangeError} If the reason of the option `end` is too long.
   * @throws {ClosedError} After `disconnect()`.
   *
   * @example
   * ```ts
   * import { Broadcast } from "@broadcaster/broadcaster";
   *
   * const broadcast = new Broadcast("memory://");
   * await ReadableStream.from(["Once", " upon", " a time"]).pipeTo(broadcast.writable("run:42"));
   * await broadcast.disconnect();
   * ```
   */
  writable<Name extends ChannelName<Published>>(
    channel: Name,
    options?: WritableOptions | null,
  ): WritableStream<Published[Name]>;

  /**
   * Returns the current statistics of the broadcast, for each channel and in total: subscribers,
   * events, gaps, pending messages, and the connection. Counting costs almost nothing for each
   * event. The call takes time in proportion to the number of subscriptions.
   *
   * @example
   * ```ts
   * import { Broadcast } from "@broadcaster/broadcaster";
   * import assert from "node:assert/strict";
   *
   * const broadcast = new Broadcast("memory://");
   * const subscription = await broadcast.subscribe("chatroom");
   * await broadcast.publish("chatroom", "hello");
   *
   * const { published, channels } = broadcast.stats();
   * const chatroom = channels.find(({ channel }) => channel === "chatroom");
   * assert.equal(published, 1);
   * assert.equal(chatroom?.subscribers, 1);
   * assert.equal(chatroom?.lag, 1); // nobody has read it yet
   * await broadcast.disconnect();
   * ```
   */
  stats(): BroadcastStats;

  /**
   * Checks whether the broker answers, for a readiness endpoint. Connects if the broadcast was not
   * used yet, but does not wait for a lost connection. A broker that is unreachable, or silent for
   * 5 seconds, is a result and not an error.
   *
   * @param options Additional options: `signal` limits the time for the broker's answer. When it
   * aborts, the result says so.
   * @throws {TypeError} If an option is invalid.
   *
   * @example
   * ```ts
   * import { Broadcast } from "@broadcaster/broadcaster";
   * import assert from "node:assert/strict";
   *
   * const broadcast = new Broadcast("memory://");
   *
   * async function ready(): Promise<Response> {
   *   const health = await broadcast.health({ signal: AbortSignal.timeout(1_000) });
   *   return Response.json(health, { status: health.ok ? 200 : 503 });
   * }
   *
   * assert.equal((await ready()).status, 200);
   * await broadcast.disconnect();
   * ```
   */
  health(options?: { signal?: AbortSignal | undefined }): Promise<BroadcastHealth>;

  /**
   * Ends all subscriptions once they have delivered the events that have arrived. Waits for pending
   * publishes, and closes the connection. Idempotent. A disconnected broadcast cannot be used
   * again.
   */
  disconnect(): Promise<void>;

  /** Adds a listener for events of a type. */
  addEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Adds a listener for events of a type. */
  addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;

  /** Removes a listener. */
  removeEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Removes a listener. */
  removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
}

/** Constructor of `Broadcast`. */
export interface BroadcastConstructor {
  /**
   * Creates a broadcast of the type that a variable, a parameter or a field expects. Without an
   * expected type, messages have the type of the codec, or are `unknown`. Both type parameters are
   * inferred; do not pass them.
   *
   * @param target A URL, the result of a factory such as `redis()`, or a custom backend.
   * @param options Additional options.
   * @throws {TypeError} If the URL is malformed, or its scheme or a parameter is unknown. Values
   * that only the backend understands are checked on first use.
   * @throws {RangeError} If an option is out of range.
   */
  new <Channels, Expected extends Channels>(
    target: string | URL | Backend | BackendSource,
    options:
      & BroadcastOptions<Channels[keyof Channels]>
      & { readonly codec: Codec<Channels[keyof Channels]> },
  ): Broadcast<Channels & Record<string, unknown>>;
  /**
   * Creates a broadcast whose channels all carry the codec's type of message. Both type parameters
   * are inferred; an explicit one is the channel map of the next overload.
   */
  new <Message, Inferred extends Message>(
    target: string | URL | Backend | BackendSource,
    options: BroadcastOptions<Message> & { readonly codec: Codec<Message> },
  ): Broadcast<Record<string, Message>>;
  /** Creates a broadcast typed per channel. */
  new <Channels extends object>(
    target: string | URL | Backend | BackendSource,
    options:
      & BroadcastOptions<Channels[keyof Channels]>
      & { readonly codec: Codec<Channels[keyof Channels]> },
  ): Broadcast<Channels>;
  /** Creates a broadcast whose channels have schemas. */
  new <Schemas extends Readonly<Record<string, Schema>>>(
    target: string | URL | Backend | BackendSource,
    options: BroadcastOptions<unknown, Schemas> & { readonly channels: Schemas },
  ): Broadcast<ChannelsOf<Schemas>, ChannelsOf<Schemas, "input">>;
  /** Creates a broadcast whose channels carry strings, the default. */
  new <Channels extends { [Name in keyof Channels]: string } = Record<string, string>>(
    target: string | URL | Backend | BackendSource,
    options?: BroadcastOptions,
  ): Broadcast<Channels>;
  /** Prototype of all broadcasts. */
  readonly prototype: Broadcast;
}

/** Creates broadcasts. */
export const Broadcast: BroadcastConstructor = class Broadcast extends BroadcastCore<unknown> {
  constructor(
    target: string | URL | Backend | BackendSource,
    given?: BroadcastOptions<unknown, Readonly<Record<string, Schema>> | undefined> | null,
  ) {
    const options = given ?? {};
    if (typeof options !== "object" || "decode" in options) {
      const kind = typeof options === "object" ? "a codec" : kindOf(options);
      throw new TypeError(
        `Cannot open broadcast: options must be an object, such as { codec: json() }, not ${kind}`,
      );
    }
    checkKnownOptions("open broadcast", options, BROADCAST_OPTIONS);
    const { channels } = options;
    const codec = options.codec ?? (channels ? json() : text()) as Codec<unknown>;
    checkCodec("open broadcast: option codec", codec);
    const { address, open } = openerOf(target);
    super({
      codec: channels ? checked(codec, channels) : codec,
      settings: readSettings(options, address),
      alternatives: ALTERNATIVES,
      open,
    });
  }
} as BroadcastConstructor;

/** Opens a backend. The address is known if the target was a URL or a factory. */
interface Opener {
  readonly address?: Address;
  readonly open: () => Promise<Backend>;
}

function openerOf(target: string | URL | Backend | BackendSource): Opener {
  const { tail, open, address, href } = Object(target) as Partial<Backend & BackendSource & URL>;
  if (typeof tail === "function") return { open: () => Promise.resolve(target as Backend) };
  if (typeof open === "function" && typeof address?.parameters?.keys === "function") {
    const source = target as BackendSource;
    checkKnown(address as Address);
    return { address: source.address, open: async () => await source.open() };
  }
  // `instanceof` is not used, since each realm has its own `URL` class.
  const url = typeof target === "string" ? target : href;
  if (typeof url !== "string") {
    throw new TypeError(
      `Cannot open broadcast: target must be a URL, a backend or the result of a factory such as redis(), it is ${
        kindOf(target)
      }`,
    );
  }
  const parsed = new Address(url);
  const scheme = Object.hasOwn(SCHEMES, parsed.scheme) ? SCHEMES[parsed.scheme] : undefined;
  if (!scheme) {
    const help = Object.hasOwn(OTHER_SCHEMES, parsed.scheme)
      ? OTHER_SCHEMES[parsed.scheme]
      : `known schemes are ${Object.keys(SCHEMES).join(", ")}`;
    throw new TypeError(
      `Cannot open "${parsed}": unknown scheme ${quote(parsed.scheme)}, ${help}`,
    );
  }
  checkKnown(parsed);
  return { address: parsed, open: async () => (await scheme.load()).open(parsed) };
}

/** Checks the parameters of built-in schemes. Third-party schemes check their own. */
function checkKnown(address: Address): void {
  const scheme = Object.hasOwn(SCHEMES, address.scheme) ? SCHEMES[address.scheme] : undefined;
  if (!scheme) return;
  const { parameters = [], ignored = [], hints = {} } = scheme;
  checkParameters(address, { known: [...CORE_PARAMETERS, ...parameters], ignored, hints });
}
