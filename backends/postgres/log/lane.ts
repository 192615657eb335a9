/**
 * A queue of messages. One statement at a time stores them.
 *
 * @module
 */

import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import type { Position } from "../../../core/backend/position.ts";
import { inBackground } from "../../../core/util/background.ts";

/** The limits of a statement: payloads, channels (each takes a lock), and bytes. */
const COUNT = 1_000;
const CHANNELS = 256;
const BYTES = 8 * 1024 * 1024;

/** A message that waits for its statement. */
export interface Entry {
  /** The message. */
  readonly message: OutgoingPayload;
  /** Called with the position of the message once it is stored. */
  readonly resolve: (position: Position) => void;
  /** Called if the message is not stored. */
  readonly reject: (error: unknown) => void;
}

/** Options for a lane. */
export interface LaneOptions {
  /**
   * Stores messages, and settles them. If it rejects, the messages that it has not settled are
   * rejected.
   */
  readonly store: (entries: Entry[]) => Promise<void>;
  /** The maximum number of channels in a statement. */
  readonly channels?: number;
  /** Called when no message waits any more. */
  readonly onIdle?: () => void;
}

/** Stores all messages that were added during the last statement in one statement. */
export class Lane {
  #waiting: Entry[] = [];
  #running = false;
  readonly #options: LaneOptions;

  /** @param options Options for the lane. */
  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Adds messages. They are stored in order, after the waiting ones. */
  add(entries: readonly Entry[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    if (!this.#running) inBackground(this.#run());
  }

  /** Puts messages back, before the waiting ones. Call it only while a statement runs. */
  restore(entries: readonly Entry[]): void {
    this.#waiting = [...entries, ...this.#waiting];
  }

  /** Removes and returns the waiting messages of some channels, by default of all. */
  take(channels?: ReadonlySet<string>): Entry[] {
    const isTaken = ({ message }: Entry) => !channels || channels.has(message.channel);
    const taken = this.#waiting.filter(isTaken);
    if (taken.length > 0) this.#waiting = this.#waiting.filter((entry) => !isTaken(entry));
    return taken;
  }

  /** Whether messages of a channel wait. */
  has(channel: string): boolean {
    return this.#waiting.some(({ message }) => message.channel === channel);
  }

  async #run(): Promise<void> {
    this.#running = true;
    const { store, onIdle } = this.#options;
    while (this.#waiting.length > 0) {
      const entries = this.#waiting.splice(0, this.#fitting());
      await store(entries).catch((error) => {
        for (const { reject } of entries) reject(error);
      });
    }
    this.#running = false;
    onIdle?.();
  }

  /** The number of waiting messages that fit into one statement. */
  #fitting(): number {
    const most = this.#options.channels ?? CHANNELS;
    const channels = new Set<string>();
    let bytes = 0;
    let count = 0;
    for (const { message: { channel, payload } } of this.#waiting) {
      channels.add(channel);
      bytes += payload.length;
      if (count > 0 && (count === COUNT || channels.size > most || bytes > BYTES)) break;
      count++;
    }
    return count;
  }
}
