/**
 * The channels and patterns that a broadcast is subscribed to.
 *
 * @module
 */

import type { Backend, Target } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import { closedError } from "../broker/connection.ts";
import { unlessAborted } from "../util/abort.ts";
import type { Branch } from "./branch.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import type { BranchOptions } from "./start.ts";

/** What all channels need to know. */
export interface ChannelsOptions<Message> extends Omit<ChannelOptions<Message>, "onGap"> {
  /** Told of each gap that concerns all subscribers of a channel, or of a pattern. */
  readonly onGap: (target: Target, gap: Gap) => void;
}

/**
 * One `Channel` for each target, however many subscribers it has.
 *
 * @typeParam Message What the events carry.
 */
export class Channels<Message> {
  readonly #options: ChannelsOptions<Message>;
  readonly #channels = new Map<string, Channel<Message>>();
  readonly #patterns = new Map<string, Channel<Message>>();
  #stopped = false;

  /** @param options What they all need to know. */
  constructor(options: ChannelsOptions<Message>) {
    this.#options = options;
  }

  /**
   * A branch of a target's tee; a channel that is closing is waited for. It is
   * joined in the same turn that finds it: nobody's leaving may close it in
   * between, and no abort may leave it open for nobody.
   *
   * @param start Says where the branch starts, once the tail is open.
   */
  async join(
    backend: Backend,
    target: Target,
    start: (channel: Channel<Message>) => BranchOptions,
    signal?: AbortSignal,
  ): Promise<Branch<Message>> {
    for (;;) {
      signal?.throwIfAborted();
      if (this.#stopped) throw closedError();
      const channel = this.#of(target).get(String(target)) ?? this.#make(target, backend);
      if (!channel.stopping) return channel.join(() => start(channel), signal);
      await unlessAborted(signal, channel.closed);
    }
  }

  /** Ends every subscription, behind the events that have arrived. Nobody joins any more. */
  stop(): void {
    this.#stopped = true;
    for (const channel of this.#all) channel.stop();
  }

  /** Resolves once every tail is closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#all.map((channel) => channel.closed));
  }

  get #all(): Channel<Message>[] {
    return [...this.#channels.values(), ...this.#patterns.values()];
  }

  #of(target: Target): Map<string, Channel<Message>> {
    return typeof target === "string" ? this.#channels : this.#patterns;
  }

  #make(target: Target, backend: Backend): Channel<Message> {
    const channel = new Channel(target, backend, {
      ...this.#options,
      onGap: (gap) => this.#options.onGap(target, gap),
    });
    const channels = this.#of(target);
    channels.set(String(target), channel);
    channel.closed.then(() => channels.delete(String(target)));
    return channel;
  }
}
