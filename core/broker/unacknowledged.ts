/**
 * Messages with a key that await their acknowledgement.
 *
 * @module
 */

import type { Outgoing } from "./outgoing.ts";

/**
 * Sent messages with a key that are not acknowledged yet, by channel. If a later message of the
 * channel is accepted first, they are not retried: they would be stored after it.
 */
export class Unacknowledged {
  readonly #channels = new Map<string, Set<Outgoing>>();

  /** Adds a message when it is first sent. Messages are added in the order of their numbers. */
  add(entry: Outgoing): void {
    const { channel } = entry.message;
    const entries = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, entries.add(entry));
  }

  /** Removes a settled message. */
  delete(entry: Outgoing): void {
    const { channel } = entry.message;
    const entries = this.#channels.get(channel);
    if (entries?.delete(entry) && entries.size === 0) this.#channels.delete(channel);
  }

  /** A message was accepted: earlier ones that were not are overtaken. */
  accept({ message, number }: Outgoing): void {
    if (this.#channels.size === 0) return;
    for (const entry of this.#channels.get(message.channel) ?? []) {
      if (entry.number >= number) return;
      entry.overtake();
    }
  }
}
