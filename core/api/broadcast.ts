/**
 * The `Broadcast` class: channels, publisher and connection of one broker.
 *
 * @module
 */

import type {
  Backend,
  OutgoingPayload,
  Payload,
  PayloadOptions,
  Target,
} from "../backend/contract.ts";
import { channelOfControl } from "../backend/control_channel.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import { joinHeaders, type MessageHeaders, readHeaders } from "../backend/headers.ts";
import { Scope } from "../backend/id.ts";
import { readOnce } from "../backend/idempotency_key.ts";
import { checkName, nameOf } from "../backend/name.ts";
import type { BroadcastState } from "../backend/state.ts";
import { type Alternatives, Capabilities } from "../broker/capabilities.ts";
import { closedError, Connection, type Deadline, deadlineIn } from "../broker/connection.ts";
import { Publisher } from "../broker/publisher.ts";
import { writableOf } from "../broker/writable.ts";
import type { Codec } from "../codec/codec.ts";
import type { DecodeOptions } from "../codec/decode.ts";
import { Encodings } from "../codec/encodings.ts";
import { endMark, reasonOfEnd } from "../codec/envelope.ts";
import { checkEncoded } from "../codec/payload_check.ts";
import { countGap, type Counts } from "../fanout/channel_stats.ts";
import type { Arrivals } from "../fanout/arrivals.ts";
import { Channels } from "../fanout/channels.ts";
import type { EventReader } from "../fanout/reader.ts";
import type { StartOptions } from "../fanout/start.ts";
import { eventsIn, positionOf } from "../log/history.ts";
import { PageReader } from "../log/pages.ts";
import { unlessAborted } from "../util/abort.ts";
import { warn } from "../util/warning.ts";
import { registerBackend } from "./backend_of.ts";
import { Control, controlCodec, register } from "./control.ts";
import type { BroadcastHealth } from "./health.ts";
import { observable, Observers } from "./observers.ts";
import { GapEvent, MessageErrorEvent, StateChangeEvent } from "./notifications.ts";
import {
  checkLimit,
  HISTORY_OPTIONS,
  type HistoryOptions,
  PUBLISH_OPTIONS,
  type PublishOptions,
  readEnd,
  readOptions,
  readStart,
  SUBSCRIBE_OPTIONS,
  type SubscribeOptions,
  WRITABLE_OPTIONS,
  type WritableOptions,
} from "./options.ts";
import type { Settings } from "./settings.ts";
import { type BroadcastStats, statsOf } from "./stats.ts";
import { Subscription } from "./subscription.ts";
import { readTarget, type SubscribeTarget } from "./target.ts";

/** Parts that a broadcast is built from. */
export interface BroadcastParts<Message> {
  /** Opens the backend; called once, on first use. */
  readonly open: () => Promise<Backend>;
  /** Turns messages into payloads and back. */
  readonly codec: Codec<Message>;
  /** Settings of the core. */
  readonly settings: Settings;
  /** Schemes with each optional feature, for error messages. */
  readonly alternatives: Alternatives;
}

/**
 * Implementation of `Broadcast`, without types per channel.
 *
 * @typeParam Message Type of the codec's messages.
 */
export class BroadcastCore<Message> extends EventTarget {
  readonly #parts: BroadcastParts<Message>;
  readonly #connection: Connection;
  readonly #capabilities: Capabilities;
  readonly #publisher: Publisher;
  readonly #channels: Channels<Message>;
  readonly #controlChannels: Channels<Uint8Array>;
  readonly #options: DecodeOptions<Message> & { readonly connection: Connection };
  readonly #encodings: Encodings;
  readonly #observers: Observers;
  /** Number of control payloads that the broker has accepted. */
  #controlled = 0;
  readonly #gaps: Counts = {};
  #disconnecting: Promise<void> | undefined;
  #hasWarned = false;

  /** @param parts Parts of the broadcast. */
  constructor(parts: BroadcastParts<Message>) {
    super();
    this.#parts = parts;
    const arrivals: Arrivals = { observe: undefined };
    const observers = this.#observers = new Observers(
      this,
      arrivals,
      () => this.#connection.backend,
    );
    observable(this, observers);
    const loading = observers.load();
    this.#connection = new Connection({
      open: loading ? async () => (await Promise.all([parts.open(), loading]))[0] : parts.open,
      probe: parts.settings.probe,
      onState: (state, error) => {
        observers.stateChanged(state, error);
        this.dispatchEvent(new StateChangeEvent(state, error));
      },
    });
    const { codec, settings } = parts;
    this.#capabilities = new Capabilities(parts.alternatives);
    this.#publisher = new Publisher(
      this.#connection,
      settings.timeout,
      this.#capabilities,
      (channel) => this.#channels.countPublished(channel),
    );
    this.#encodings = new Encodings(settings.timeout);
    this.#options = {
      connection: this.#connection,
      closing: this.#connection.closing,
      maxMessage: settings.maxMessage,
      timeout: settings.timeout,
      codec,
      onMessageError: (channel, payload, error) =>
        this.#reportMessageError(channel, payload, error),
    };
    const onGap = (target: Target, gap: Gap) => this.#reportGap(target, gap);
    this.#channels = new Channels({ ...settings, ...this.#options, arrivals, onGap });
    this.#controlChannels = new Channels({
      ...settings,
      ...this.#options,
      arrivals: { observe: undefined },
      codec: controlCodec(codec),
      onMessageError: (name, payload, error) =>
        this.#options.onMessageError(channelOfControl(name), payload, error),
      onGap: () => {},
    });
    register(this, this.#control());
    registerBackend(this, () => this.#connection.ready());
  }

  /** State of the connection to the broker. */
  get state(): BroadcastState {
    return this.#connection.state;
  }

  /** See `Broadcast`. */
  async connect(options?: { signal?: AbortSignal | undefined } | null): Promise<void> {
    const { signal } = readOptions("connect", options, { signal: true });
    signal?.throwIfAborted();
    await unlessAborted(signal, this.#connection.ready());
  }

  /**
   * See `Broadcast`. Not an async function, since each promise slows messages that are awaited one
   * by one.
   */
  publish(
    channel: string,
    message: Message,
    options?: PublishOptions | null,
  ): Promise<string | undefined> {
    const observers = this.#observers;
    return observers.hearPublishing
      ? observers.publish(channel, (added) => this.#publish(channel, message, options, added))
      : this.#publish(channel, message, options);
  }

  #publish(
    channel: string,
    message: Message,
    options: PublishOptions | null | undefined,
    added?: MessageHeaders,
  ): Promise<string | undefined> {
    try {
      const signal = options ? readOptions("publish", options, PUBLISH_OPTIONS).signal : undefined;
      signal?.throwIfAborted();
      if (this.#disconnecting) throw closedError();
      checkName("publish to channel", channel);
      const metadata = options ? metadataOf(channel, options) : undefined;
      const encoded = this.#parts.codec.encode(message, channel);
      if (this.#encodings.isTurn(channel, encoded)) {
        return this.#send(channel, encoded, metadata, signal, added);
      }
      const send = (payload: Payload) => this.#send(channel, payload, metadata, signal, added);
      return this.#encodings.inTurn(channel, encoded, send, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** See `Broadcast`. */
  subscribe(
    target: SubscribeTarget,
    options?: SubscribeOptions | null,
  ): Promise<Subscription<Message>> {
    return this.#observers.subscribe(target, this.#subscribe(target, options));
  }

  async #subscribe(
    target: SubscribeTarget,
    given: SubscribeOptions | null | undefined,
  ): Promise<Subscription<Message>> {
    const asked = readOptions("subscribe", given, SUBSCRIBE_OPTIONS);
    const { signal } = asked;
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    const wanted = readTarget(target);
    if (typeof target === "string" && target.includes("*")) this.#warnOfStar(target);
    const options = readStart(wanted, asked);
    const deadline = this.#deadline;
    const connection = this.#connection;
    await connection.pace.enter();
    if (!connection.up) {
      const ready = connection.readyBy(deadline, `subscribe to ${nameOf(wanted)}`);
      await unlessAborted(signal, ready);
      await connection.pace.enter();
    }
    const backend = connection.backend!;
    this.#capabilities.checkSubscribing(backend, wanted, options.history ?? 0);
    const reader = await this.#read(backend, wanted, options, deadline);
    if (signal?.aborted) reader.close();
    signal?.throwIfAborted();
    return new Subscription(target, reader, {
      signal,
      onMessageError: (channel, error) => this.#reportMessageError(channel, undefined, error),
    });
  }

  /** See `Broadcast`. */
  async history(
    channel: string,
    given?: HistoryOptions | null,
  ): Promise<BroadcastEvent<Message>[]> {
    const options = readOptions("read history", given, HISTORY_OPTIONS);
    const { signal, limit = 100, after, before } = options;
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("read history of channel", channel);
    checkLimit(channel, limit);
    const deadline = this.#deadline;
    const ready = this.#connection.readyBy(deadline, `read history of ${nameOf(channel)}`);
    const backend = await unlessAborted(signal, ready);
    if (!backend.read) throw this.#capabilities.noLogError(backend, channel);
    backend.check?.(channel);
    const from = { name: channel, scope: new Scope(backend.name, channel) };
    const { events } = await eventsIn(this.#log(backend, channel), {
      after: positionOf(after, from),
      before: positionOf(before, from),
      limit,
      onGap: (gap) => this.#reportGap(channel, gap),
      signal,
      deadline,
    });
    return events;
  }

  /** See `Broadcast`. */
  writable(channel: string, options?: WritableOptions | null): WritableStream<Message> {
    const { signal, end } = readOptions("write to channel", options, WRITABLE_OPTIONS);
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("write to channel", channel);
    const reason = readEnd(channel, end);
    const isEnd = reason !== undefined;
    return writableOf({
      publish: (message) => this.publish(channel, message),
      signal,
      start: async () => {
        const ready = this.#connection.readyBy(this.#deadline, `write to ${nameOf(channel)}`);
        const backend = await unlessAborted(signal, ready);
        if (isEnd && !backend.read) throw this.#capabilities.noLogError(backend, channel, "end");
      },
      end: isEnd ? () => this.#end(channel, reason) : undefined,
    });
  }

  /** See `Broadcast`. */
  stats(): BroadcastStats {
    return statsOf({
      connection: this.#connection,
      channels: this.#channels,
      pending: this.#publisher.pending + this.#encodings.pending,
      published: this.#publisher.accepted - this.#controlled,
      gaps: this.#gaps,
    });
  }

  /** See `Broadcast`. */
  async health(options?: { signal?: AbortSignal | undefined } | null): Promise<BroadcastHealth> {
    const { signal } = readOptions("check health", options);
    const { healthOf } = await import("./health.ts");
    return await healthOf(this.#connection, signal);
  }

  /** See `Broadcast`. */
  disconnect(): Promise<void> {
    this.#disconnecting ??= this.#disconnect();
    return this.#disconnecting;
  }

  /** Same as `disconnect()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  #send(
    channel: string,
    payload: Payload,
    metadata: PayloadOptions | undefined,
    signal: AbortSignal | undefined,
    added?: MessageHeaders,
  ): Promise<string | undefined> {
    signal?.throwIfAborted();
    this.#check(channel, payload);
    if (reasonOfEnd(payload) !== undefined) {
      throw new TypeError(
        `Cannot publish to ${
          nameOf(channel)
        }: the payload is the mark that ends a channel, use writable() with the option end`,
      );
    }
    const message = metadata ? { channel, payload, ...metadata } : { channel, payload };
    return this.#publisher.publish(added ? this.#withHeaders(message, added) : message, signal);
  }

  /** Adds headers if the broker supports them. This is known once the backend is open. */
  #withHeaders(message: OutgoingPayload, added: MessageHeaders): OutgoingPayload {
    const connection = this.#connection;
    const { channel, headers } = message;
    const all = joinHeaders(channel, headers, added);
    return Object.defineProperty({ ...message }, "headers", {
      enumerable: true,
      get: () => connection.backend?.features.headers ? all : headers,
    });
  }

  #check(channel: string, payload: Payload): void {
    const { codec, settings } = this.#parts;
    checkEncoded(channel, payload, codec.name, settings.maxMessage);
  }

  #control(): Control {
    return new Control({
      codec: this.#parts.codec,
      channels: this.#controlChannels,
      ready: async (name, history, signal) => {
        if (this.#disconnecting) throw closedError();
        const ready = this.#connection.readyBy(this.#deadline, `subscribe to ${nameOf(name)}`);
        const backend = await unlessAborted(signal, ready);
        this.#capabilities.checkSubscribing(backend, name, history);
        return backend;
      },
      send: async (channel, given, signal) => {
        if (this.#disconnecting) throw closedError();
        const send = (payload: Payload) => {
          this.#check(channel, payload);
          return this.#publisher.publish({ channel, payload }, signal);
        };
        const id = await this.#encodings.inTurn(channelOfControl(channel), given, send, signal);
        this.#controlled++;
        return id;
      },
    });
  }

  async #end(channel: string, reason: string): Promise<void> {
    const { codec } = this.#parts;
    const mark = endMark(reason);
    await this.#encodings.inTurn(
      channel,
      codec.seal ? codec.seal(mark, channel) : mark,
      (payload) => this.#publisher.publish({ channel, payload }),
    );
  }

  async #disconnect(): Promise<void> {
    await Promise.all([this.#channels.stop(), this.#controlChannels.stop()]);
    await this.#encodings.drain();
    await this.#publisher.drain();
    this.#connection.shut();
    await this.#connection.close();
    await Promise.all([this.#channels.closed(), this.#controlChannels.closed()]);
  }

  /** Limits how long a call waits for the broker. */
  get #deadline(): Deadline {
    return deadlineIn(this.#parts.settings.timeout);
  }

  #read(
    backend: Backend,
    target: ReturnType<typeof readTarget>,
    options: StartOptions,
    deadline: Deadline,
  ): Promise<EventReader<Message>> {
    if (isSeveral(target)) return this.#readSeveral(backend, target, options, deadline);
    const onGap = (gap: Gap) => this.#reportGap(target, gap);
    return this.#channels.subscribe(backend, target, options, onGap);
  }

  async #readSeveral(
    backend: Backend,
    names: readonly string[],
    options: StartOptions,
    deadline: Deadline,
  ): Promise<EventReader<Message>> {
    const { joinAll } = await import("./several_channels.ts");
    return await joinAll([...names].sort(), options, {
      channels: this.#channels,
      backend,
      log: (channel) => this.#log(backend, channel),
      onGap: (channel, gap) => this.#reportGap(channel, gap),
      deadline,
    });
  }

  /** Creates a log reader that no subscription shares. */
  #log(backend: Backend, channel: string): PageReader<Message> {
    const scope = new Scope(backend.name, channel);
    return new PageReader({ ...this.#options, target: channel, scope });
  }

  /** Warns about a star in the name of a channel. Usually a pattern is meant. */
  #warnOfStar(channel: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const name = nameOf(channel);
    warn(
      `subscribe(${name}) subscribes to one channel of that name. For all matching channels, write subscribe({ pattern: ${name} }). For this one channel, write subscribe([${name}]).`,
    );
  }

  #reportMessageError(channel: string, payload: Payload | undefined, error: unknown): void {
    this.dispatchEvent(new MessageErrorEvent(channel, payload, error));
  }

  #reportGap(target: Target, gap: Gap): void {
    countGap(this.#gaps, gap.cause);
    const channel = this.#channels.find(target);
    if (channel) countGap(channel.gaps, gap.cause);
    this.#observers.gap(target, gap);
    this.dispatchEvent(new GapEvent(String(target), gap));
  }
}

function isSeveral(target: ReturnType<typeof readTarget>): target is readonly string[] {
  return Array.isArray(target);
}

/** The validated headers and key of a message, if any. */
function metadataOf(
  channel: string,
  { headers: given, idempotencyKey, idempotencyTtl }: PublishOptions,
): PayloadOptions | undefined {
  const headers = readHeaders(channel, given);
  const once = readOnce(channel, idempotencyKey, idempotencyTtl);
  return headers || once ? { headers, once } : undefined;
}
