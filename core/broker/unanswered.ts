/**
 * Messages that were sent and have no final answer yet.
 *
 * @module
 */

import type { Outgoing } from "./outgoing.ts";

/** The messages of one channel, from the oldest to the newest. */
interface Lane {
  first: Outgoing | undefined;
  last: Outgoing | undefined;
}

/**
 * Sent messages without a final answer, by channel. If a later message of the channel is stored
 * first, the earlier ones are not retried, since that would break the order.
 */
export class Unanswered {
  readonly #lanes = new Map<string, Lane>();
  /**
   * The channel whose lane became empty last. The lane is kept for the next message, since adding
   * and deleting the same map key repeatedly is slow.
   */
  #idle: string | undefined;

  /** Adds a message when it is first sent. Messages are added in the order of their numbers. */
  add(entry: Outgoing): void {
    if (entry.isUnanswered) return;
    const { channel } = entry.message;
    let lane = this.#lanes.get(channel);
    if (!lane) this.#lanes.set(channel, lane = { first: undefined, last: undefined });
    entry.isUnanswered = true;
    entry.previous = lane.last;
    if (lane.last) lane.last.next = entry;
    else lane.first = entry;
    lane.last = entry;
  }

  /** Removes a settled message. */
  delete(entry: Outgoing): void {
    if (!entry.isUnanswered) return;
    const { channel } = entry.message;
    const lane = this.#lanes.get(channel)!;
    const { next, previous } = entry;
    entry.isUnanswered = false;
    entry.next = entry.previous = undefined;
    if (previous) previous.next = next;
    else lane.first = next;
    if (next) next.previous = previous;
    else lane.last = previous;
    if (!lane.first) this.#rest(channel);
  }

  /**
   * Reports that a message was, or may have been, stored. Earlier unanswered messages are
   * overtaken.
   */
  overtake({ message, number, isAccepted }: Outgoing): void {
    let entry = this.#lanes.get(message.channel)?.first;
    for (; entry && entry.number < number; entry = entry.next) entry.overtake(isAccepted);
  }

  /** `true` while the backend has not answered a message of the channel. */
  has(channel: string): boolean {
    for (let entry = this.#lanes.get(channel)?.first; entry; entry = entry.next) {
      if (entry.state === "sent" || entry.state === "resent") return true;
    }
    return false;
  }

  #rest(channel: string): void {
    const idle = this.#idle;
    if (idle === channel) return;
    this.#idle = channel;
    if (idle !== undefined && !this.#lanes.get(idle)?.first) this.#lanes.delete(idle);
  }
}
