/**
 * What ties channels, publisher and connection to one broker.
 *
 * @module
 */

import { onAbort, unlessAborted } from "./abort.ts";
import type { Backend } from "./backend.ts";
import type { Branch, BranchOptions } from "./branch.ts";
import type { PublishOptions, SubscribeOptions } from "./broadcast.ts";
import { Channel } from "./channel.ts";
import { type Codec, kindOf } from "./codec.ts";
import { closedError, Connection } from "./connection.ts";
import { ConnectionError, GapError } from "./errors.ts";
import type { Gap } from "./event.ts";
import { type BroadcastState, GapEvent, MessageErrorEvent, StateChangeEvent } from "./notices.ts";
import { Publisher } from "./publisher.ts";
import type { Settings } from "./settings.ts";
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
    await this.#publisher.publish(channel, payload, signal);
    return undefined;
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
    const backend = await this.#ready(signal);
    const branch = await this.#join(backend, channel, options);
    if (signal?.aborted) {
      branch.close();
      throw signal.reason;
    }
    if (signal) endWith(branch, signal);
    return new Subscription(channel, branch);
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
    const channel = new Channel(name, backend.name, {
      connection: this.#connection,
      codec: this.#parts.codec,
      limits: this.#parts.settings.limits,
      linger: this.#parts.settings.linger,
      onGap: (gap) => this.dispatchEvent(new GapEvent(name, gap)),
      onMessageError: (payload, error) =>
        this.dispatchEvent(new MessageErrorEvent(name, payload, error)),
    });
    this.#channels.set(name, channel);
    channel.closed.then(() => this.#channels.delete(name));
    return channel;
  }

  /** Where a subscription starts: live, or behind an id that the ring still holds. */
  #start(
    channel: Channel<Message>,
    options: SubscribeOptions,
  ): BranchOptions {
    const told = {
      onGap: gapHandler(channel.name, options.onGap),
      onOverflow: (gap: Gap) => void this.dispatchEvent(new GapEvent(channel.name, gap)),
    };
    if (options.after === undefined) return told;
    const place = channel.tee.epoch.find(options.after);
    if (place.kind === "here" && place.number < channel.tee.ring.head) {
      return { ...told, ...this.#resume(channel, options.after, place.number) };
    }
    if (options.foreign !== "gap" && place.kind !== "past") {
      throw new TypeError(
        `Cannot resume "${channel.name}" behind ${JSON.stringify(options.after)}: it is ${
          place.kind === "malformed"
            ? "not an event id"
            : place.kind === "here"
            ? "an id that this channel has not reached"
            : "an id of another channel or backend"
        }, pass foreign: "gap" to start live instead`,
      );
    }
    const gap: Gap = place.kind === "past"
      ? { cause: "disconnect", after: options.after }
      : { cause: "unknown" };
    this.dispatchEvent(new GapEvent(channel.name, gap));
    return { ...told, gap };
  }

  /** Behind an event of the ring, or at its oldest if it holds that no more. */
  #resume({ name, tee }: Channel<Message>, id: string, number: number): BranchOptions {
    const oldest = tee.ring.oldest - 1;
    if (number >= oldest) return { after: number };
    const counted = tee.gapsUpTo(number) === tee.gapsUpTo(oldest);
    const gap: Gap = { cause: "disconnect", after: id, ...counted && { missed: oldest - number } };
    this.dispatchEvent(new GapEvent(name, gap));
    return { gap, after: oldest };
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

function gapHandler(
  channel: string,
  onGap: SubscribeOptions["onGap"],
): ((gap: Gap) => void) | undefined {
  if (typeof onGap === "function") return onGap;
  if (onGap !== "error") return undefined;
  return (gap) => {
    throw new GapError(channel, gap);
  };
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
