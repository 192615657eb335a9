/**
 * A queue of messages that are stored by one statement at a time.
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
  /** Called with its position once it is stored. */
  readonly resolve: (position: Position) => void;
  /** Called if it is not. */
  readonly reject: (error: unknown) => void;
}

/** Options for a lane. */
export interface LaneOptions {
  /** Stores messages, and settles them. Those that it leaves when it rejects are rejected. */
  readonly store: (entries: Entry[]) => Promise<void>;
  /** The greatest number of channels in a statement. */
  readonly channels?: number;
  /** Called when nothing waits any more. */
  readonly onIdle?: () => void;
}

/** Stores the messages that came while the last statement ran in one statement. */
export class Lane {
  #waiting: Entry[] = [];
  #running = false;
  readonly #options: LaneOptions;

  /** @param options Options for it. */
  constructor(options: LaneOptions) {
    this.#options = options;
  }

  /** Adds messages, which are stored in order after those that wait. */
  add(entries: readonly Entry[]): void {
    for (const entry of entries) this.#waiting.push(entry);
    if (!this.#running) inBackground(this.#run());
  }

  /** Puts messages back, before those that wait. Only while a statement runs. */
  restore(entries: readonly Entry[]): void {
    this.#waiting = [...entries, ...this.#waiting];
  }

  /** Takes the messages of some channels out of those that wait; of all channels by default. */
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

  /** How many of the messages that wait fit into one statement. */
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
