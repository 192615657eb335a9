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
import { ConnectionError } from "../backend/errors.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import { readHeaders } from "../backend/headers.ts";
import { Scope } from "../backend/id.ts";
import { readOnce } from "../backend/idempotency_key.ts";
import { checkName, nameOf } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";
import type { BroadcastState } from "../backend/state.ts";
import { type Alternatives, Capabilities } from "../broker/capabilities.ts";
import { closedError, Connection } from "../broker/connection.ts";
import { Publisher } from "../broker/publisher.ts";
import { writableOf } from "../broker/writable.ts";
import type { Codec } from "../codec/codec.ts";
import type { DecodeOptions } from "../codec/decode.ts";
import { endMark, reasonOfEnd } from "../codec/envelope.ts";
import { Channels } from "../fanout/channels.ts";
import type { EventReader } from "../fanout/reader.ts";
import type { StartOptions } from "../fanout/start.ts";
import { eventsIn, positionOf } from "../log/history.ts";
import { PageReader } from "../log/pages.ts";
import { unlessAborted } from "../util/abort.ts";
import { LONGEST } from "../util/timer.ts";
import { Control, controlCodec, register } from "./control.ts";
import { GapEvent, MessageErrorEvent, StateChangeEvent } from "./notifications.ts";
import {
  checkCount,
  type HistoryOptions,
  type PublishOptions,
  readEnd,
  readStart,
  type SubscribeOptions,
  type WritableOptions,
} from "./options.ts";
import type { Settings } from "./settings.ts";
import { joinAll } from "./several_channels.ts";
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
  /** Schemes that support what the backend may lack, for error messages. */
  readonly alternatives: Alternatives;
}

/**
 * Implementation of `Broadcast`, without types per channel.
 *
 * @typeParam Message What the codec decodes to.
 */
export class BroadcastCore<Message> extends EventTarget {
  readonly #parts: BroadcastParts<Message>;
  readonly #connection: Connection;
  readonly #capabilities: Capabilities;
  readonly #publisher: Publisher;
  readonly #channels: Channels<Message>;
  readonly #controlChannels: Channels<Uint8Array>;
  readonly #options: DecodeOptions<Message> & { readonly connection: Connection };
  /** Settles once every message passed to `publish()` is encoded. */
  #encoding: Promise<void> | undefined;
  #disconnecting: Promise<void> | undefined;

  /** @param parts Parts that it is built from. */
  constructor(parts: BroadcastParts<Message>) {
    super();
    this.#parts = parts;
    this.#connection = new Connection({
      open: parts.open,
      probe: parts.settings.probe,
      onState: (state, error) => this.dispatchEvent(new StateChangeEvent(state, error)),
    });
    const { codec, settings } = parts;
    this.#capabilities = new Capabilities(parts.alternatives);
    this.#publisher = new Publisher(this.#connection, settings.timeout, this.#capabilities);
    this.#options = {
      connection: this.#connection,
      codec,
      onMessageError: (channel, payload, error) =>
        void this.dispatchEvent(new MessageErrorEvent(channel, payload, error)),
    };
    const onGap = (target: Target, gap: Gap) => this.#reportGap(target, gap);
    this.#channels = new Channels({ ...settings, ...this.#options, onGap });
    this.#controlChannels = new Channels({
      ...settings,
      connection: this.#connection,
      codec: controlCodec(codec),
      onMessageError: (name, payload, error) =>
        this.#options.onMessageError(channelOfControl(name), payload, error),
      onGap: () => {},
    });
    register(this, this.#control());
  }

  /** State of the connection to the broker. */
  get state(): BroadcastState {
    return this.#connection.state;
  }

  /** See `Broadcast`. */
  async connect(options?: { signal?: AbortSignal | undefined } | null): Promise<void> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    await unlessAborted(signal, this.#connection.ready());
  }

  /** See `Broadcast`. Not async: each promise slows messages that are awaited one by one. */
  publish(
    channel: string,
    message: Message,
    options?: PublishOptions | null,
  ): Promise<string | undefined> {
    try {
      const signal = options?.signal;
      signal?.throwIfAborted();
      if (this.#disconnecting) throw closedError();
      checkName("publish to channel", channel);
      const metadata = options ? metadataOf(channel, options) : undefined;
      const encoded = this.#inTurn(this.#parts.codec.encode(message, channel));
      const send = (payload: Payload) => this.#send({ channel, payload, ...metadata }, signal);
      return encoded instanceof Promise ? encoded.then(send) : send(encoded);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** See `Broadcast`. */
  async subscribe(
    target: SubscribeTarget,
    given?: SubscribeOptions | null,
  ): Promise<Subscription<Message>> {
    const { signal } = given ?? {};
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    const wanted = readTarget(target);
    const options = readStart(wanted, given ?? {});
    const backend = await this.#ready(signal);
    this.#capabilities.checkSubscribing(backend, wanted, options.history ?? 0);
    const reader = await this.#read(backend, wanted, options);
    if (signal?.aborted) reader.close();
    signal?.throwIfAborted();
    return new Subscription(target, reader, { signal });
  }

  /** See `Broadcast`. */
  async history(
    channel: string,
    given?: HistoryOptions | null,
  ): Promise<BroadcastEvent<Message>[]> {
    const { signal, limit = 100, after, before } = given ?? {};
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("read history of channel", channel);
    checkCount(`read history of ${nameOf(channel)}`, limit, 1);
    const backend = await this.#ready(signal);
    if (!backend.read) throw this.#capabilities.noLogError(backend, channel);
    backend.check?.(channel);
    const from = { name: channel, scope: new Scope(backend.name, channel) };
    const { events } = await eventsIn(this.#log(backend, channel), {
      after: positionOf(after, from),
      before: positionOf(before, from),
      limit,
      onGap: (gap) => this.#reportGap(channel, gap),
      signal,
    });
    return events;
  }

  /** See `Broadcast`. */
  writable(channel: string, options?: WritableOptions | null): WritableStream<Message> {
    const { signal, end } = options ?? {};
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("write to channel", channel);
    const reason = readEnd(channel, end);
    const isEnd = reason !== undefined;
    return writableOf({
      publish: (message) => this.publish(channel, message),
      signal,
      start: async () => {
        const backend = await this.#ready(signal);
        if (isEnd && !backend.read) throw this.#capabilities.noLogError(backend, channel, "end");
      },
      end: isEnd ? () => this.#end(channel, reason) : undefined,
    });
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

  /** Keeps messages in order. Returns a promise only if this or an earlier encoding is async. */
  #inTurn(payload: Payload | Promise<Payload>): Payload | Promise<Payload> {
    const before = this.#encoding;
    if (!before && !(payload instanceof Promise)) return payload;
    const encoded = Promise.all([payload, before]).then(([payload]) => payload);
    const settled = Promise.allSettled([encoded, before]).then(() => {
      if (this.#encoding === settled) this.#encoding = undefined;
    });
    this.#encoding = settled;
    return encoded;
  }

  #send(message: OutgoingPayload, signal: AbortSignal | undefined): Promise<string | undefined> {
    signal?.throwIfAborted();
    if (reasonOfEnd(message.payload) !== undefined) {
      throw new TypeError(
        `Cannot publish to "${message.channel}": the payload is the mark that ends a channel, use writable() with the option end`,
      );
    }
    return this.#publisher.publish(message, signal);
  }

  #control(): Control {
    return new Control({
      codec: this.#parts.codec,
      channels: this.#controlChannels,
      ready: async (name, history, signal) => {
        if (this.#disconnecting) throw closedError();
        const backend = await this.#ready(signal);
        this.#capabilities.checkSubscribing(backend, name, history);
        return backend;
      },
      send: async (channel, given, signal) => {
        if (this.#disconnecting) throw closedError();
        const payload = await this.#inTurn(given);
        signal?.throwIfAborted();
        return await this.#publisher.publish({ channel, payload }, signal);
      },
    });
  }

  async #end(channel: string, reason: string): Promise<void> {
    const { codec } = this.#parts;
    const mark = endMark(reason);
    const payload = await this.#inTurn(codec.seal ? codec.seal(mark, channel) : mark);
    await this.#publisher.publish({ channel, payload });
  }

  async #disconnect(): Promise<void> {
    this.#channels.stop();
    this.#controlChannels.stop();
    await this.#encoding;
    await this.#publisher.drain();
    this.#connection.shut();
    await this.#connection.close();
    await Promise.all([this.#channels.closed(), this.#controlChannels.closed()]);
  }

  /** Waits for a lost connection for up to `timeout`, as a message does. */
  async #ready(signal: AbortSignal | undefined): Promise<Backend> {
    const connection = this.#connection;
    const ready = connection.ready();
    if (connection.state !== "reconnecting") return await unlessAborted(signal, ready);
    const late = new AbortController();
    const { timeout } = this.#parts.settings;
    const timer = setTimeout(() => {
      const message = `Cannot subscribe: not connected to ${connection.address} for ${
        timeout / 1000
      } s`;
      late.abort(new ConnectionError(message, { cause: connection.error }));
    }, Math.min(timeout, LONGEST));
    try {
      return await unlessAborted(signal, unlessAborted(late.signal, ready));
    } finally {
      clearTimeout(timer);
    }
  }

  #read(
    backend: Backend,
    target: ReturnType<typeof readTarget>,
    options: StartOptions,
  ): Promise<EventReader<Message>> {
    const channels = this.#channels;
    if (typeof target !== "string" && !(target instanceof Pattern)) {
      return joinAll([...target].sort(), options, {
        channels,
        backend,
        log: (channel) => this.#log(backend, channel),
        onGap: (channel, gap) => this.#reportGap(channel, gap),
      });
    }
    return channels.subscribe(backend, target, options, (gap) => this.#reportGap(target, gap));
  }

  /** Creates a log reader that no subscription shares. */
  #log(backend: Backend, channel: string): PageReader<Message> {
    const scope = new Scope(backend.name, channel);
    return new PageReader({ ...this.#options, target: channel, scope });
  }

  #reportGap(target: Target, gap: Gap): void {
    this.dispatchEvent(new GapEvent(String(target), gap));
  }
}

/** Validated metadata of a message, if it has any. */
function metadataOf(
  channel: string,
  { headers: given, idempotencyKey, idempotencyTtl }: PublishOptions,
): PayloadOptions | undefined {
  const headers = readHeaders(channel, given);
  const once = readOnce(channel, idempotencyKey, idempotencyTtl);
  return headers || once ? { headers, once } : undefined;
}
