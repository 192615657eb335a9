/**
 * Channels whose messages the broker cannot store for now.
 *
 * @module
 */

import type { TemporaryError } from "../backend/errors.ts";
import { inBackground } from "../util/background.ts";
import { deferred } from "../util/timer.ts";
import type { Outgoing } from "./outgoing.ts";

/** Options for `HeldChannels`. */
export interface HeldChannelsOptions {
  /** Waits before an attempt, until there is a connection. Rejects once the connection is closed. */
  readonly ready: (attempt: number) => Promise<void>;
  /** `true` while connected. */
  readonly isReady: () => boolean;
  /** `true` while the backend has not answered a message of the channel. */
  readonly isUnanswered: (channel: string) => boolean;
  /** Limits the wait of a message. `channel` has the latest reason. */
  readonly limit: (entry: Outgoing, channel: HeldChannel) => void;
  /** Sends one message, ahead of the others. */
  readonly send: (entry: Outgoing) => void;
  /** Sends the messages that were held back. */
  readonly release: (entries: Iterable<Outgoing>) => void;
  /** Fails a message, since the connection is closed. */
  readonly fail: (entry: Outgoing, error: unknown) => void;
}

/** A held channel. */
export interface HeldChannel {
  /** The messages, except the one that is being retried. */
  readonly entries: Set<Outgoing>;
  /** The latest temporary error. */
  reason: TemporaryError;
  /** Resolves the wait for the answers of the channel's messages. */
  wake: (() => void) | undefined;
}

/**
 * Holds back the messages of a channel after a temporary error, so that their order is kept. The
 * oldest one is retried alone; once it has been accepted, the others follow.
 */
export class HeldChannels {
  readonly #options: HeldChannelsOptions;
  readonly #channels = new Map<string, HeldChannel>();

  /** @param options Options for the channels. */
  constructor(options: HeldChannelsOptions) {
    this.#options = options;
  }

  /** Holds a channel back, because the broker could not store a message. */
  hold(entry: Outgoing, reason: TemporaryError): void {
    const { channel } = entry.message;
    let held = this.#channels.get(channel);
    if (held) held.reason = reason;
    else {
      held = { entries: new Set(), reason, wake: undefined };
      this.#channels.set(channel, held);
      inBackground(this.#retry(channel, held));
    }
    this.join(entry);
  }

  /** Adds a message if its channel is held back. Returns `false` if it is not. */
  join(entry: Outgoing): boolean {
    const held = this.#channels.size > 0 && this.#channels.get(entry.message.channel);
    if (!held) return false;
    held.entries.add(entry);
    this.#options.limit(entry, held);
    held.wake?.();
    return true;
  }

  /** Adds the messages whose channels are held back, and returns the others. */
  without(entries: Outgoing[]): Outgoing[] {
    return this.#channels.size === 0 ? entries : entries.filter((entry) => !this.join(entry));
  }

  /** Reports that a message got an answer, or is settled. */
  answered(entry: Outgoing): void {
    const { channel } = entry.message;
    const held = this.#channels.size > 0 && this.#channels.get(channel);
    if (!held) return;
    if (entry.state === "settled") held.entries.delete(entry);
    // Nothing waits any more, so the next message must not wait for a retry.
    if (held.entries.size === 0 && entry.state === "settled") this.#channels.delete(channel);
    held.wake?.();
  }

  /** Retries the oldest message until one is accepted. Never rejects. */
  async #retry(channel: string, held: HeldChannel): Promise<void> {
    const { ready, isReady, send, release, fail } = this.#options;
    try {
      for (let attempt = 0;; attempt++) {
        await ready(attempt);
        if (this.#channels.get(channel) !== held) return;
        // If a later message is accepted meanwhile, the earlier ones are refused.
        await this.#answers(channel, held);
        const first = oldest(held.entries);
        if (!first) break;
        if (!isReady()) continue;
        held.entries.delete(first);
        send(first);
        await this.#answers(channel, held);
        if (held.entries.has(first)) continue;
        if (first.isAccepted) break;
        attempt = -1;
      }
      this.#forget(channel, held);
      release(held.entries);
    } catch (error) {
      this.#forget(channel, held);
      for (const entry of held.entries) fail(entry, error);
    }
  }

  #forget(channel: string, held: HeldChannel): void {
    if (this.#channels.get(channel) === held) this.#channels.delete(channel);
  }

  async #answers(channel: string, held: HeldChannel): Promise<void> {
    while (this.#options.isUnanswered(channel)) {
      const { promise, resolve } = deferred();
      held.wake = resolve;
      await promise;
    }
    held.wake = undefined;
  }
}

function oldest(entries: Iterable<Outgoing>): Outgoing | undefined {
  let first: Outgoing | undefined;
  for (const entry of entries) if (!first || entry.number < first.number) first = entry;
  return first;
}
