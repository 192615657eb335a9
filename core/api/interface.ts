/**
 * The public types of a broadcast: what its methods take, return and throw.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import type { BroadcastState } from "../backend/state.ts";
import type { AnyCodec, MessageOf } from "../codec/codec.ts";
import type { ChannelSchemas, SchemaInputs, SchemaOutputs } from "../codec/schema.ts";
import type { BroadcastEventMap } from "./notifications.ts";
import type {
  BroadcastOptions,
  CodecOptions,
  HistoryOptions,
  PublishOptions,
  SchemaOptions,
  SubscribeOptions,
  WritableOptions,
} from "./options.ts";
import type { Subscription } from "./subscription.ts";
import type { SubscribeTarget } from "./target.ts";

/** The channels of a broadcast, by the names of its channel map. */
export type ChannelName<Channels extends object> = Extract<keyof Channels, string>;

/** The events of some channels: which one tells what its message is. */
export type EventOf<Channels extends object, Name extends ChannelName<Channels>> = Name extends
  unknown ? BroadcastEvent<Channels[Name], Name> : never;

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
  ): Promise<Subscription<Channels[Name], Name, EventOf<Channels, Name>>>;

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
  ): Promise<EventOf<Channels, Name>[]>;

  /**
   * A stream of messages into a channel: `source.pipeTo(broadcast.writable("run:42"))`.
   * Up to 64 messages are on their way at a time; past that it waits until the
   * broker has accepted the oldest, and so slows its source down.
   *
   * What cannot be published errors the stream; what was written behind it may be
   * published all the same, since it is on its way by then. `close()` waits until
   * all is accepted, and rejects if something was not. `abort()` takes nothing back.
   *
   * @param channel Where to publish.
   * @param options Additional options.
   * @throws {TypeError} If the channel cannot be used.
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
   * Ends every subscription, behind the events that have arrived, waits for
   * the messages that were accepted for publishing, and closes the connection.
   * Idempotent. A disconnected broadcast cannot be used again.
   */
  disconnect(): Promise<void>;

  /** Calls a listener on each event of a type. */
  addEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;
  /** Calls a listener on each event of a type. */
  addEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["addEventListener"]>[2],
  ): void;

  /** Calls a listener no longer. */
  removeEventListener<Type extends keyof BroadcastEventMap>(
    type: Type,
    listener: (event: BroadcastEventMap[Type]) => void,
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
  /** Calls a listener no longer. */
  removeEventListener(
    type: string,
    listener: Parameters<EventTarget["addEventListener"]>[1],
    options?: Parameters<EventTarget["removeEventListener"]>[2],
  ): void;
}

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
