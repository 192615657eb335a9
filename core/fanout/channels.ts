/**
 * Channels and patterns that a broadcast is subscribed to.
 *
 * @module
 */

import type { Backend, Target } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import { closedError } from "../broker/connection.ts";
import { unlessAborted } from "../util/abort.ts";
import { inBackground } from "../util/background.ts";
import type { Branch } from "./branch.ts";
import { Channel, type ChannelOptions } from "./channel.ts";
import type { ChannelStats } from "./channel_stats.ts";
import { Lingering } from "./lingering.ts";
import { type BranchOptions, startOf, type StartOptions } from "./start.ts";

/** Options for `Channels`. */
export interface ChannelsOptions<Message> extends Omit<ChannelOptions<Message>, "lingering"> {
  /** Time in milliseconds for which a tail stays open after its last subscriber has left. */
  readonly linger: number;
}

/**
 * Keeps one `Channel` per target, however many subscribers it has.
 *
 * @typeParam Message Type of the messages.
 */
export class Channels<Message> {
  readonly #options: ChannelOptions<Message>;
  readonly #channels = new Map<string, Channel<Message>>();
  readonly #patterns = new Map<string, Channel<Message>>();
  /** The totals of closed channels. */
  readonly #past = { received: 0, delivered: 0 };
  #stopped = false;

  /** @param options Options for all channels. */
  constructor(options: ChannelsOptions<Message>) {
    const { linger, connection } = options;
    this.#options = { ...options, lingering: new Lingering(linger, connection.pace) };
  }

  /**
   * Creates a branch of a target's tee. If the channel is closing, waits until it is closed.
   *
   * A channel is found and joined in the same turn. So it cannot close in between, and an abort
   * cannot leave it open without a subscriber.
   *
   * @param start Returns the start of the branch; called once the tail is open.
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
      const channel = this.find(target) ?? this.#make(target, backend);
      if (!channel.stopping) return channel.join(() => start(channel), signal);
      await unlessAborted(signal, channel.closed);
    }
  }

  /**
   * Opens a branch that starts where the user asked.
   *
   * @param onOwnGap Called for each gap that affects this branch alone.
   */
  async subscribe(
    backend: Backend,
    target: Target,
    options: StartOptions,
    onOwnGap: (gap: Gap) => void = () => {},
  ): Promise<Branch<Message>> {
    const { history, signal } = options;
    const start = (channel: Channel<Message>) => startOf(channel, options, onOwnGap);
    const branch = await this.join(backend, target, start, signal);
    // Otherwise events that are published before the first read would displace the history.
    if (history) {
      await unlessAborted(signal, branch.started()).catch((error) => {
        branch.close();
        throw error;
      });
    }
    return branch;
  }

  /**
   * Ends all subscriptions once they have read the events that have arrived. Later joins are
   * rejected.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const channel of this.#all) {
      await this.#options.connection.pace.enter();
      channel.stop();
    }
  }

  /** Resolves once every tail is closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#all.map((channel) => channel.closed));
  }

  /** The channel or pattern, if it is subscribed to. */
  find(target: Target): Channel<Message> | undefined {
    return this.#of(target).get(String(target));
  }

  /** Counts a message that was published to a channel, if it is subscribed to. */
  countPublished(name: string): void {
    const channel = this.#channels.get(name);
    if (channel) channel.published++;
  }

  /** The statistics of open channels, and the totals of closed ones. */
  get stats(): {
    readonly channels: ChannelStats[];
    readonly past: { readonly received: number; readonly delivered: number };
  } {
    return { channels: this.#all.map(({ stats }) => stats), past: this.#past };
  }

  get #all(): Channel<Message>[] {
    return [...this.#channels.values(), ...this.#patterns.values()];
  }

  #of(target: Target): Map<string, Channel<Message>> {
    return typeof target === "string" ? this.#channels : this.#patterns;
  }

  #make(target: Target, backend: Backend): Channel<Message> {
    const channel = new Channel(target, backend, this.#options);
    const channels = this.#of(target);
    channels.set(String(target), channel);
    inBackground(channel.closed.then(() => {
      channels.delete(String(target));
      const { tee } = channel;
      this.#past.received += tee.ring.head - 1;
      this.#past.delivered += tee.tally.delivered;
      // Subscriptions of the channel may still read the events in the ring.
      tee.tally = this.#past;
    }));
    return channel;
  }
}
