/**
 * Messages with a key that await their acknowledgement: one that a later message has overtaken
 * is not sent again.
 *
 * @module
 */

import type { Outgoing } from "./outgoing.ts";

/**
 * Keyed messages that were sent and not answered, by their channels. One behind
 * which another was accepted meanwhile has lost its place: sent again, it would lie
 * behind what was published later.
 */
export class Unacknowledged {
  readonly #channels = new Map<string, Set<Outgoing>>();

  /** It was sent for the first time; what was sent before it was given before it. */
  add(entry: Outgoing): void {
    const { channel } = entry.message;
    const entries = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, entries.add(entry));
  }

  /** It is settled. */
  delete(entry: Outgoing): void {
    const { channel } = entry.message;
    const entries = this.#channels.get(channel);
    if (entries?.delete(entry) && entries.size === 0) this.#channels.delete(channel);
  }

  /** It was accepted: those before it that were not have lost their place. */
  accept({ message, number }: Outgoing): void {
    if (this.#channels.size === 0) return;
    for (const entry of this.#channels.get(message.channel) ?? []) {
      if (entry.number >= number) return;
      entry.overtaken = true;
    }
  }
}
