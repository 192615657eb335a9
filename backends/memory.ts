/**
 * Channels within one process, without a broker: for a laptop, for tests, and
 * for applications that run as one process.
 *
 * ## URLs
 *
 * `memory://`, without parameters of its own. Two broadcasts share nothing.
 *
 * ## Delivery
 *
 * As on a real broker: messages are encoded and decoded, and arrive in the
 * order in which they were published. Nothing is stored, and nothing can be
 * lost between publisher and tail.
 *
 * ## Escape hatch
 *
 * None: there is no client.
 *
 * @module
 */

import type { Backend, BackendFeatures, Payload, Tail } from "../backend.ts";
import { RecordSource } from "../record_source.ts";

/** Delivers to the tails of this object. */
export class MemoryBackend implements Backend {
  /** The scheme. */
  readonly name = "memory";
  /** As it appears in messages. */
  readonly address = "memory://";
  /** What it can do. */
  readonly features: BackendFeatures = { crossProcess: false, binary: true };
  readonly #tails = new Map<string, RecordSource>();

  /** Hands the payloads to the channel's tail. */
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    const tail = this.#tails.get(channel);
    for (const payload of payloads) tail?.push({ payload });
    return Promise.resolve();
  }

  /** The channel's live end. */
  tail(channel: string): Promise<Tail> {
    const source = new RecordSource(() => void this.#tails.delete(channel));
    this.#tails.set(channel, source);
    return Promise.resolve(source);
  }

  /** Forgets every tail. */
  close(): Promise<void> {
    this.#tails.clear();
    return Promise.resolve();
  }
}

/** Makes the backend of `memory://`. */
export function open(): Backend {
  return new MemoryBackend();
}
