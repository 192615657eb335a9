/**
 * The idempotency keys of a channel, in memory.
 *
 * @module
 */

import { lifetimeOf, type Once } from "../../../core/backend/idempotency_key.ts";
import type { Position } from "../../../core/backend/position.ts";

/** How many are known at most; the first that were used are forgotten first. */
const KNOWN = 100_000;

/** Where the record of a key lies, and until when that is known. */
interface Known {
  readonly position: Position;
  readonly until: number;
}

/** The keys of all channels. */
export class Keys {
  readonly #known = new Map<string, Known>();

  /** Where the record of a key lies, if the key is known. */
  find(channel: string, { key }: Once, now: number): Position | undefined {
    const known = this.#known.get(JSON.stringify([channel, key]));
    return known && known.until > now ? known.position : undefined;
  }

  /** The record of a key lies here. */
  add(channel: string, once: Once, position: Position, now: number): void {
    const name = JSON.stringify([channel, once.key]);
    // At its place among the others it would be forgotten as what it was before.
    this.#known.delete(name);
    this.#known.set(name, { position, until: now + lifetimeOf(once) });
    for (const [name, { until }] of this.#known) {
      if (until > now && this.#known.size <= KNOWN) break;
      this.#known.delete(name);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#known.clear();
  }
}
