/**
 * What ties channels, publisher and connection to one broker.
 *
 * @module
 */

import { onAbort, unlessAborted } from "./abort.ts";
import type { Backend } from "./backend.ts";
import type { Branch } from "./branch.ts";
import type { HistoryOptions, PublishOptions, SubscribeOptions } from "./broadcast.ts";
import { Channel, type ChannelOptions, decode } from "./channel.ts";
import { type Codec, kindOf } from "./codec.ts";
import { closedError, Connection } from "./connection.ts";
import { ConnectionError } from "./errors.ts";
import type { BroadcastEvent } from "./event.ts";
import { Scope } from "./id.ts";
import { Log, noLogError } from "./log.ts";
import { type BroadcastState, GapEvent, MessageErrorEvent, StateChangeEvent } from "./notices.ts";
import { Publisher } from "./publisher.ts";
import type { Settings } from "./settings.ts";
import { type BranchOptions, checkCount, positionOf, startOf } from "./start.ts";
import { Subscription } from "./subscription.ts";
import { LONGEST } from "./timer.ts";

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
export class Hub<Message> extends EventTarget {
  readonly #parts: BroadcastParts<Message>;
  readonly #connection: Connection;
  readonly #publisher: Publisher;
  readonly #channels = new Map<string, Channel<Message>>();
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
    this.#publisher = new Publisher(this.#connection, parts.settings.timeout);
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

  /** See `BroadcastInstance`. */
  async publish(
    channel: string,
    message: Message,
    options?: PublishOptions | null,
  ): Promise<string | undefined> {
    const signal = options?.signal;
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("publish to", channel);
    const payload = this.#parts.codec.encode(message);
    const position = await this.#publisher.publish(channel, payload, signal);
    return position && new Scope(this.#connection.backend!.name, channel).id(position);
  }

  /** See `BroadcastInstance`. */
  async subscribe(
    channel: string,
    given?: SubscribeOptions | null,
  ): Promise<Subscription<Message>> {
    const options = given ?? {};
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("subscribe to", channel);
    const { history = 0 } = options;
    checkCount("start with history of", channel, history, 0);
    const backend = await this.#ready(signal);
    if (history > 0 && !backend.features.log) throw noLogError(backend, channel);
    const branch = await this.#join(backend, channel, options);
    try {
      // Without this, what is published before the first read would push the history out.
      if (history > 0 && options.after === undefined) {
        await unlessAborted(signal, branch.started());
      }
      signal?.throwIfAborted();
    } catch (error) {
      branch.close();
      throw error;
    }
    if (signal) endWith(branch, signal);
    return new Subscription(channel, branch);
  }

  /** See `BroadcastInstance`. */
  async history(
    channel: string,
    given?: HistoryOptions | null,
  ): Promise<BroadcastEvent<Message>[]> {
    const { signal, limit = 100, after, before } = given ?? {};
    signal?.throwIfAborted();
    if (this.#disconnecting) throw closedError();
    checkName("read history of", channel);
    checkCount("read history of", channel, limit, 1);
    const backend = await this.#ready(signal);
    if (!backend.features.log) throw noLogError(backend, channel);
    backend.check?.(channel);
    const scope = new Scope(backend.name, channel);
    const from = { name: channel, scope };
    const options = this.#channelOptions(channel);
    const log = new Log({ ...from, ...options, decode: (payload) => decode(payload, options) });
    const range = { after: positionOf(after, from), before: positionOf(before, from), limit };
    return await log.events(range, options.onGap, signal);
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

  async #disconnect(): Promise<void> {
    for (const channel of this.#channels.values()) channel.stop();
    await this.#publisher.drain();
    this.#connection.shut();
    await this.#connection.close();
    await Promise.all([...this.#channels.values()].map((channel) => channel.closed));
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

  /**
   * A branch of the channel of a name; one that is closing is waited for. It is
   * joined in the same turn that finds it: nobody's leaving may close it in
   * between, and no abort may leave it open for nobody.
   */
  async #join(
    backend: Backend,
    name: string,
    options: SubscribeOptions,
  ): Promise<Branch<Message>> {
    const { signal } = options;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#disconnecting) throw closedError();
      const channel = this.#channels.get(name) ?? this.#make(name, backend);
      if (!channel.stopping) return channel.join(() => this.#start(channel, options), signal);
      await unlessAborted(signal, channel.closed);
    }
  }

  #make(name: string, backend: Backend): Channel<Message> {
    const channel = new Channel(name, backend, this.#channelOptions(name));
    this.#channels.set(name, channel);
    channel.closed.then(() => this.#channels.delete(name));
    return channel;
  }

  #channelOptions(name: string): ChannelOptions<Message> {
    const { codec, settings } = this.#parts;
    return {
      connection: this.#connection,
      codec,
      limits: settings.limits,
      linger: settings.linger,
      onGap: (gap) => void this.dispatchEvent(new GapEvent(name, gap)),
      onMessageError: (payload, error) =>
        void this.dispatchEvent(new MessageErrorEvent(name, payload, error)),
    };
  }

  #start(channel: Channel<Message>, options: SubscribeOptions): BranchOptions {
    return startOf(
      channel,
      options,
      (gap) => void this.dispatchEvent(new GapEvent(channel.name, gap)),
    );
  }
}

function checkName(verb: string, channel: unknown): void {
  if (typeof channel !== "string") {
    throw new TypeError(
      `Cannot ${verb} channel: its name must be a string, it is ${kindOf(channel)}`,
    );
  }
  if (channel === "") throw new TypeError(`Cannot ${verb} channel: its name is empty`);
  if (!channel.isWellFormed()) {
    throw new TypeError(`Cannot ${verb} channel: its name has a lone surrogate`);
  }
}

/** A signal ends a branch for as long as there is one, and holds on to it no longer. */
function endWith(
  branch: { fail(reason: unknown): void; onLeave: (() => void) | undefined },
  signal: AbortSignal,
): void {
  const forget = onAbort(signal, () => branch.fail(signal.reason));
  const leave = branch.onLeave;
  branch.onLeave = () => {
    forget();
    leave?.();
  };
}
