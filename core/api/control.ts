/**
 * Control payloads: what modules of the library send beside the messages of a channel.
 *
 * @module
 */

import type { Backend, Payload } from "../backend/contract.ts";
import { controlChannelOf } from "../backend/control_channel.ts";
import { checkName } from "../backend/name.ts";
import type { Codec } from "../codec/codec.ts";
import { bytesOf } from "../codec/envelope.ts";
import type { Channels } from "../fanout/channels.ts";
import { readStart, type SubscribeOptions } from "./options.ts";
import { Subscription } from "./subscription.ts";

/** What control payloads of a broadcast are made of. */
export interface ControlParts {
  /** Seals them, if it can. */
  readonly codec: Pick<Codec<unknown>, "seal">;
  /** The control channels that are subscribed to. */
  readonly channels: Channels<Uint8Array>;
  /** The backend, once it is connected and known to serve a subscription. */
  readonly ready: (
    channel: string,
    history: number,
    signal: AbortSignal | undefined,
  ) => Promise<Backend>;
  /** Publishes a payload, in its turn. */
  readonly send: (
    channel: string,
    payload: Payload | PromiseLike<Payload>,
    signal: AbortSignal | undefined,
  ) => Promise<string | undefined>;
}

/**
 * The control channels of a broadcast. What is published there passes neither codec nor schema, is
 * sealed where the codec seals, and is seen by no subscription to the channel or to a pattern.
 */
export class Control {
  readonly #parts: ControlParts;

  /** @param parts What it is made of. */
  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /**
   * Publishes a payload on the control channel of a channel: a text, or bytes where the broker
   * carries them.
   *
   * @returns Its id, where the broker tells one.
   */
  async publish(
    channel: string,
    payload: Payload,
    options: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<string | undefined> {
    const { codec, send } = this.#parts;
    options.signal?.throwIfAborted();
    checkName("publish to channel", channel);
    const name = controlChannelOf(channel);
    const sealed = codec.seal ? codec.seal(bytesOf(payload), name) : payload;
    return await send(name, sealed, options.signal);
  }

  /** Subscribes to the control channel of a channel. */
  async subscribe(
    channel: string,
    given: SubscribeOptions = {},
  ): Promise<Subscription<Uint8Array>> {
    const { channels, ready } = this.#parts;
    const { signal } = given;
    signal?.throwIfAborted();
    checkName("subscribe to channel", channel);
    const name = controlChannelOf(channel);
    const options = readStart(name, given);
    const backend = await ready(name, options.history ?? 0, signal);
    const branch = await channels.subscribe(backend, name, options);
    if (signal?.aborted) branch.close();
    signal?.throwIfAborted();
    return new Subscription(name, branch, { signal });
  }
}

/** Decodes control payloads: the bytes that were published. */
export function controlCodec(codec: Pick<Codec<unknown>, "unseal">): Codec<Uint8Array> {
  return {
    name: "control",
    encode: (payload) => payload,
    decode: (payload, channel) =>
      codec.unseal ? codec.unseal(bytesOf(payload), channel) : bytesOf(payload),
  };
}

/** Those of broadcasts that are open. */
const controls = new WeakMap<object, Control>();

/** A broadcast has control channels from now on. */
export function register(broadcast: object, control: Control): void {
  controls.set(broadcast, control);
}

/**
 * The control channels of a broadcast.
 *
 * @throws {TypeError} If it is none.
 */
export function controlOf(broadcast: object): Control {
  const control = controls.get(broadcast);
  if (control) return control;
  throw new TypeError("Cannot use control channels: argument broadcast is not a Broadcast");
}
