/**
 * The `Broadcast` class: ties channels, publisher and connection to one broker.
 *
 * @module
 */

import type { Backend, Payload, PayloadOptions, Target } from "../backend/contract.ts";
import { ConnectionError } from "../backend/errors.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import { readHeaders } from "../backend/headers.ts";
import { Scope } from "../backend/id.ts";
import { readOnce } from "../backend/idempotency_key.ts";
import { checkName, nameOf } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";
import type { BroadcastState } from "../backend/state.ts";
import { checkCapabilities, noLogError } from "../broker/capabilities.ts";
import { closedError, Connection } from "../broker/connection.ts";
import type { OutgoingMessage } from "../broker/outgoing.ts";
import { Publisher } from "../broker/publisher.ts";
import { writableOf } from "../broker/writable.ts";
import type { Codec } from "../codec/codec.ts";
import type { DecodeOptions } from "../codec/decode.ts";
import { END, isEnd } from "../codec/envelope.ts";
import type { Channel } from "../fanout/channel.ts";
import { Channels } from "../fanout/channels.ts";
import { endWith, type EventReader } from "../fanout/reader.ts";
import { startOf, type StartOptions } from "../fanout/start.ts";
import { eventsIn, positionOf } from "../log/history.ts";
import { PageReader } from "../log/pages.ts";
import { unlessAborted } from "../util/abort.ts";
import { LONGEST } from "../util/timer.ts";
import { GapEvent, MessageErrorEvent, StateChangeEvent } from "./notifications.ts";
import {
  checkCount,
  type HistoryOptions,
  type PublishOptions,
  readStart,
  type SubscribeOptions,
  type WritableOptions,
} from "./options.ts";
import type { Settings } from "./settings.ts";
import { joinAll } from "./several_channels.ts";
import { Subscription } from "./subscription.ts";
import { readTarget, type SubscribeTarget } from "./target.ts";

/** What a broadcast is made of. */
export interface BroadcastParts<Message> {
  /** Opens the backend; called once, at first use. */
  readonly open: () => Promise<Backend>;
  /** Turns messages into payloads and back. */
  readonly codec: Codec<Message>;
  /** What the core was told. */
  readonly settings: Settings;
}

/**
 * What a `Broadcast` is, without its types per channel.
 *
 * @typeParam Message What the codec decodes to.
 */
export class BroadcastCore<Message> extends EventTarget {
  readonly #parts: BroadcastParts<Message>;
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #channels: Channels<Message>;
  readonly #options: DecodeOptions<Message> & { readonly connection: Connection };
  /** Settles once all that was given to be published is encoded. */
  #encoding: Promise<void> | undefined;
  #disconnecting: Promise<void> | undefined;

  /** @param parts What it is made of. */
  constructor(parts: BroadcastParts<Message>) {
    super();
    this.#parts = parts;
    this.#connection = new Connection({
      open: parts.open,
      probe: parts.settings.probe,
      onState: (state, error) => this.dispatchEvent(new StateChangeEvent(state, error)),
    });
    const { codec, settings } = parts;
    this.#publisher = new Publisher(this.#connection, settings.timeout);
    this.#options = {
      connection: this.#connection,
      codec,
      onMessageError: (channel, payload, error) =>
        void this.dispatchEvent(new MessageErrorEvent(channel, payload, error)),
    };
    const onGap = (target: Target, gap: Gap) => this.#tellGap(target, gap);
    this.#channels = new Channels({ ...settings, ...this.#options, onGap });
  }

  /** What the connection to the broker is now. */
  get state(): BroadcastState {
    return this.#connection.state;
  }

  /** See `BroadcastInstance`. */
  async connect(options?: { signal?: AbortSignal | undefined } | null): Promise<void> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    await unlessAborted(signal, this.#connection.ready());
  }

  /** See `BroadcastInstance`. Not async: messages that are awaited one by one feel each promise. */
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
      const besides = options ? besidesOf(channel, options) : undefined;
      const encoded = this.#encode(channel, message);
      const send = (payload: Payload) => this.#send({ channel, payload, options: besides }, signal);
      return encoded instanceof Promise ? encoded.then(send) : send(encoded);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** See `BroadcastInstance`. */
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
    checkCapabilities(backend, wanted, options);
    const reader = await this.#read(backend, wanted, options);
    if (signal?.aborted) reader.close();
    signal?.throwIfAborted();
    if (signal) endWith(reader, signal);
    return new Subscription(target, reader);
  }

  /** See `BroadcastInstance`. */
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
    if (!backend.features.log) throw noLogError(backend, channel);
    backend.check?.(channel);
    const from = { name: channel, scope: new Scope(backend.name, channel) };
    const { events } = await eventsIn(this.#log(backend, channel), {
      after: positionOf(after, from),
      before: positionOf(before, from),
      limit,
      onGap: (gap) => this.#tellGap(channel, gap),
      signal,
    });
    return events;
  }

  /** See `BroadcastInstance`. */
  writable(channel: string, options?: WritableOptions | null): WritableStream<Message> {
    const { signal, end = false } = options ?? {};
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("write to channel", channel);
    return writableOf({
      publish: (message) => this.publish(channel, message),
      signal,
      start: async () => {
        const backend = await this.#ready(signal);
        if (end && !backend.features.log) throw noLogError(backend, channel, "end");
      },
      end: end ? () => this.#publisher.publish({ channel, payload: END }) : undefined,
    });
  }

  /** See `BroadcastInstance`. */
  disconnect(): Promise<void> {
    this.#disconnecting ??= this.#disconnect();
    return this.#disconnecting;
  }

  /** Does what `disconnect()` does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.disconnect();
  }

  /** What is encoded takes its turn: a promise only if the codec takes its time, or did before. */
  #encode(channel: string, message: Message): Payload | Promise<Payload> {
    const payload = this.#parts.codec.encode(message, channel);
    const before = this.#encoding;
    if (!before && !(payload instanceof Promise)) return payload;
    const encoded = Promise.all([payload, before]).then(([payload]) => payload);
    const settled = Promise.allSettled([encoded, before]).then(() => {
      if (this.#encoding === settled) this.#encoding = undefined;
    });
    this.#encoding = settled;
    return encoded;
  }

  #send(message: OutgoingMessage, signal: AbortSignal | undefined): Promise<string | undefined> {
    signal?.throwIfAborted();
    if (isEnd(message.payload)) {
      throw new TypeError(`Cannot publish to "${message.channel}": these two bytes would end it`);
    }
    return this.#publisher.publish(message, signal);
  }

  async #disconnect(): Promise<void> {
    this.#channels.stop();
    await this.#encoding;
    await this.#publisher.drain();
    this.#connection.shut();
    await this.#connection.close();
    await this.#channels.closed();
  }

  /** Connected: waits for a lost connection as long as a message does. */
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

  async #read(
    backend: Backend,
    target: ReturnType<typeof readTarget>,
    options: StartOptions,
  ): Promise<EventReader<Message>> {
    const channels = this.#channels;
    if (typeof target !== "string" && !(target instanceof Pattern)) {
      return await joinAll([...target].sort(), options, {
        channels,
        backend,
        log: (channel) => this.#log(backend, channel),
        onGap: (channel, gap) => this.#tellGap(channel, gap),
      });
    }
    const { signal } = options;
    const tell = (gap: Gap) => this.#tellGap(target, gap);
    const start = (channel: Channel<Message>) => startOf(channel, options, tell);
    const branch = await channels.join(backend, target, start, signal);
    // Without this, what is published before the first read would push the history out.
    if (options.history && options.after === undefined) {
      await unlessAborted(signal, branch.started()).catch((error) => {
        branch.close();
        throw error;
      });
    }
    return branch;
  }

  /** Reads the past of a channel by itself. */
  #log(backend: Backend, channel: string): PageReader<Message> {
    const scope = new Scope(backend.name, channel);
    return new PageReader({ ...this.#options, target: channel, scope });
  }

  #tellGap(target: Target, gap: Gap): void {
    this.dispatchEvent(new GapEvent(String(target), gap));
  }
}

/** What is asked for besides the payload. */
function besidesOf(
  channel: string,
  { headers: given, key, expires }: PublishOptions,
): PayloadOptions | undefined {
  const headers = readHeaders(channel, given);
  const once = readOnce(channel, key, expires);
  return headers || once ? { headers, once } : undefined;
}
