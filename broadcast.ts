/**
 * The public face of a broadcast.
 *
 * @module
 */

import type { Backend, BackendOptions, Payload } from "./backend.ts";
import type { Codec } from "./codec.ts";
import type { BroadcastEvent, Gap } from "./event.ts";
import type { BroadcastEventMap, BroadcastState } from "./notices.ts";
import type { ChannelSchemas, SchemaInputs, SchemaOutputs } from "./schema.ts";
import type { SettingsOptions } from "./settings.ts";
import type { Subscription } from "./subscription.ts";
import type { SubscribeTarget } from "./target.ts";

/** The channels of a broadcast, by the names of its channel map. */
export type ChannelName<Channels extends object> = Extract<keyof Channels, string>;

/** Additional options of a publish. */
export interface PublishOptions {
  /** Aborts the call. A message that was sent already may be published all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** Additional options of a subscription. */
export interface SubscribeOptions {
  /**
   * Start with up to this many of the most recent events. Only on backends with
   * a log.
   *
   * @default {0}
   */
  readonly history?: number | undefined;
  /**
   * Resume behind the event of this id; it wins over `history`. With a log
   * nothing is lost, or a gap says so, in every process. Without one the same
   * holds while this process keeps the tail (it outlives its last subscriber by
   * `linger`); later the subscription starts live, with a gap `disconnect`.
   */
  readonly after?: string | undefined;
  /**
   * What to do when `after` is not an id of this channel: reject with a
   * `TypeError`, or start live with a gap `unknown`.
   *
   * @default {"error"}
   */
  readonly foreign?: "error" | "gap" | undefined;
  /**
   * What to do when events may be missing: go on (the next event carries the
   * gap), end the subscription with a `GapError`, or call a function, in order
   * and as soon as the reader waits at that place.
   *
   * @default {"continue"}
   */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call; later, ends the subscription with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Which page of a channel's history. */
export interface HistoryOptions {
  /**
   * How many events at most.
   *
   * @default {100}
   */
  readonly limit?: number | undefined;
  /** Only events before that of this id: the newest of them, if there is no `after`. */
  readonly before?: string | undefined;
  /** Only events behind that of this id: the oldest of them. */
  readonly after?: string | undefined;
  /** Aborts the call. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Realtime channels over one broker. It connects at first use; `connect()`
 * reports a bad address early. A connection that is lost is sought again for
 * ever, every subscription goes on, and each is told of the gap.
 *
 * As an `EventTarget` it dispatches `statechange`, `gap` and `messageerror`.
 *
 * @typeParam Channels Channel names to the messages they carry.
 * @typeParam Published What may be published to them: the same, unless a schema makes something
 * else of it.
 */
export interface BroadcastInstance<
  Channels extends object = Record<string, string>,
  Published extends object = Channels,
> extends EventTarget, AsyncDisposable {
  /** What the connection to the broker is now. */
  readonly state: BroadcastState;

  /**
   * Connects, if it is not connected. Optional: the first use connects too.
   *
   * @param options `signal` aborts the call.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If it refuses, a wrong password say.
   * @throws {TypeError} If a parameter of the URL has a value that the backend cannot use.
   * @throws {Error} If the client library is not installed.
   * @throws {ClosedError} After `disconnect()`.
   */
  connect(options?: { signal?: AbortSignal | undefined }): Promise<void>;

  /**
   * Publishes a message. Messages of one publisher keep their order, also
   * without awaiting; what is published in one go, without an `await` in
   * between, travels together. While a lost connection is sought again they wait, up to
   * `?timeout=`.
   *
   * @param channel Where to publish.
   * @param message What to publish.
   * @param options Additional options.
   * @returns Settles once the broker has accepted: with the event's id, where it is known.
   * @throws {TypeError} If the channel or the message cannot be used: a `ValidationError` if
   * that is because of the channel's schema.
   * @throws {RangeError} If one of them is too long for the broker.
   * @throws {ConnectionError} If there was no connection, and the message was not sent.
   * @throws {OutcomeUnknownError} If it was sent, and the broker never answered.
   * @throws {RefusedError} If the broker refused it.
   * @throws {ClosedError} After `disconnect()`.
   */
  publish<Name extends ChannelName<Published>>(
    channel: Name,
    message: Published[Name],
    options?: PublishOptions,
  ): Promise<string | undefined>;

  /**
   * Subscribes to a channel, to several, or to all that match a pattern. The
   * broker is asked once per channel, or pattern, and process, however many
   * subscriptions there are. A publisher hears its own events.
   *
   * - **Several channels** keep their order each. One id stands for all of them;
   *   `history` counts and merges them by time.
   * - **A pattern** has `*` for any run of characters, on backends that have
   *   patterns. It resumes, and has history, only where one position covers all of
   *   its channels: on `memory://` and `nats-stream://`.
   *
   * @param target What to subscribe to.
   * @param options Additional options.
   * @returns Settles once the broker has confirmed: what is published from then on arrives.
   * @throws {TypeError} If the target cannot be used, `after` is not one of its ids, or the
   * backend cannot do what is asked.
   * @throws {RangeError} If it is more than 32 channels, or they have too long an id together.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If the broker refuses.
   * @throws {ClosedError} After `disconnect()`.
   */
  subscribe<Name extends ChannelName<Channels>>(
    target: SubscribeTarget<Name>,
    options?: SubscribeOptions,
  ): Promise<Subscription<Channels[Name], Name>>;

  /**
   * A page of a channel's past: the most recent events, unless `before` or
   * `after` say where. The first event's id is the next page's `before`, the last
   * one's its `after`.
   *
   * @param channel Whose past.
   * @param options Which page.
   * @returns The events, oldest first; none behind the end. What `after` no longer
   * reaches is told by the gap of the first event.
   * @throws {TypeError} If the backend keeps no log, or an id is not one of this channel.
   * @throws {RangeError} If the limit is no number of events.
   * @throws {ConnectionError} If the broker cannot be reached.
   * @throws {RefusedError} If the broker refuses.
   * @throws {ClosedError} After `disconnect()`.
   */
  history<Name extends ChannelName<Channels>>(
    channel: Name,
    options?: HistoryOptions,
  ): Promise<BroadcastEvent<Channels[Name], Name>[]>;

  /**
   * Ends every subscription, behind the events that have arrived, waits for
   * the messages that were accepted for publishing, and closes the connection.
   * Idempotent. A disconnected broadcast cannot be used again.
   */
  disconnect(): Promise<void>;

  /** Calls a listener on each event of a type. */
  addEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  /** Calls a listener on each event of a type. */
  addEventListener(
    type: string,
    listener: EventListener | EventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;

  /** Calls a listener no longer. */
  removeEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  /** Calls a listener no longer. */
  removeEventListener(
    type: string,
    listener: EventListener | EventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** Additional options of a broadcast. */
export interface BroadcastOptions extends SettingsOptions, BackendOptions {}

/** Additional options of a broadcast, with a codec. */
export interface CodecOptions<Message> extends BroadcastOptions {
  /** Turns messages into payloads and back. */
  readonly codec: Codec<Message>;
}

/** Additional options of a broadcast, with schemas. */
export interface SchemaOptions<Schemas extends ChannelSchemas> extends BroadcastOptions {
  /**
   * The schema of each channel, by its name; a name with `*` stands for all that
   * match and have none of their own. There are no other channels.
   *
   * A message that is published must be what the schema accepts, and travels as
   * it is. What is received is what the schema makes of it; if it does not accept
   * it, that is a `messageerror`.
   */
  readonly channels: Schemas;
  /**
   * Turns messages into payloads and back.
   *
   * @default {json()}
   */
  readonly codec?: AnyCodec | undefined;
}

/** A codec, whatever its messages are. */
export type AnyCodec = Omit<Codec<unknown>, "encode"> & {
  /** Turns a message into a payload. */
  encode(message: never, channel: string): Payload | Promise<Payload>;
};

/** What a codec decodes to. */
export type MessageOf<Given extends AnyCodec> = Awaited<ReturnType<Given["decode"]>>;

/** Makes broadcasts. */
export interface BroadcastConstructor {
  /**
   * A broadcast whose channels carry strings.
   *
   * @param target A URL, or a backend of your own.
   * @param options Additional options.
   * @throws {TypeError} If the URL is malformed, or its scheme or a parameter unknown. A value that
   * only the backend understands is checked at the first use.
   */
  new (
    target: string | URL | Backend,
    options?: BroadcastOptions & { readonly channels?: undefined },
  ): BroadcastInstance;
  /**
   * A broadcast whose channels all carry what the codec decodes to. Both types are inferred: with
   * one that is given, it is the map of the channels, below.
   */
  new <Given extends AnyCodec, Message extends MessageOf<Given>>(
    target: string | URL | Backend,
    options: BroadcastOptions & { readonly codec: Given },
  ): BroadcastInstance<Record<string, MessageOf<Given>>>;
  /** A broadcast that is typed per channel. */
  new <Channels extends object>(
    target: string | URL | Backend,
    options: CodecOptions<Channels[keyof Channels]>,
  ): BroadcastInstance<Channels>;
  /** A broadcast whose channels have schemas. */
  new <const Schemas extends ChannelSchemas>(
    target: string | URL | Backend,
    options: SchemaOptions<Schemas>,
  ): BroadcastInstance<SchemaOutputs<Schemas>, SchemaInputs<Schemas>>;
  /** The prototype of all broadcasts. */
  readonly prototype: BroadcastInstance;
}
