/**
 * Control payloads: data that modules of the library send beside the messages of a channel.
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

/** Parts of a broadcast that control payloads use. */
export interface ControlParts {
  /** Seals payloads, if the codec encrypts. */
  readonly codec: Pick<Codec<unknown>, "seal">;
  /** The control channels that are subscribed to. */
  readonly channels: Channels<Uint8Array>;
  /** Resolves with the backend once it is connected and can serve a subscription. */
  readonly ready: (
    channel: string,
    history: number,
    signal: AbortSignal | undefined,
  ) => Promise<Backend>;
  /** Publishes a payload, in the order of the calls. */
  readonly send: (
    channel: string,
    payload: Payload | PromiseLike<Payload>,
    signal: AbortSignal | undefined,
  ) => Promise<string | undefined>;
}

/**
 * The control channels of a broadcast. Their payloads bypass codec and schema, are sealed if the
 * codec encrypts, and reach no subscription to the channel or to a pattern.
 */
export class Control {
  readonly #parts: ControlParts;

  /** @param parts Parts of the broadcast. */
  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /**
   * Publishes a payload on the control channel of a channel. Bytes need a broker that supports
   * them.
   *
   * @returns The id, if the broker reports it.
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

/** A codec for control payloads. It decodes them to the bytes that were published. */
export function controlCodec(codec: Pick<Codec<unknown>, "unseal">): Codec<Uint8Array> {
  return {
    name: "control",
    encode: (payload) => payload,
    decode: (payload, channel) =>
      codec.unseal ? codec.unseal(bytesOf(payload), channel) : bytesOf(payload),
  };
}

/** The control channels of open broadcasts. */
const controls = new WeakMap<object, Control>();

/** Registers the control channels of a broadcast. */
export function register(broadcast: object, control: Control): void {
  controls.set(broadcast, control);
}

/**
 * The control channels of a broadcast.
 *
 * @throws {TypeError} If the argument is not a broadcast.
 */
export function controlOf(broadcast: object): Control {
  const control = controls.get(broadcast);
  if (control) return control;
  throw new TypeError("Cannot use control channels: argument broadcast is not a Broadcast");
}
