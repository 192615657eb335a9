/**
 * Idempotency keys in memory.
 *
 * @module
 */

import { lifetimeOf, type Once } from "../../../core/backend/idempotency_key.ts";
import type { Position } from "../../../core/backend/position.ts";

/** The maximum number of keys. The oldest are evicted first. */
const KNOWN = 100_000;

/** The position of a key's record, and the time at which the key expires. */
interface Known {
  readonly position: Position;
  readonly until: number;
}

/** Holds the idempotency keys of all channels. */
export class Keys {
  readonly #known = new Map<string, Known>();

  /** The position of a key's record; `undefined` if the key is not known. */
  find(channel: string, { key }: Once, now: number): Position | undefined {
    const known = this.#known.get(JSON.stringify([channel, key]));
    return known && known.until > now ? known.position : undefined;
  }

  /** Adds a key and the position of its record. */
  add(channel: string, once: Once, position: Position, now: number): void {
    const name = JSON.stringify([channel, once.key]);
    // Deleted first, since a reused key would otherwise keep its old place in the order of
    // eviction.
    this.#known.delete(name);
    this.#known.set(name, { position, until: now + lifetimeOf(once) });
    for (const [name, { until }] of this.#known) {
      if (until > now && this.#known.size <= KNOWN) break;
      this.#known.delete(name);
    }
  }

  /** Removes all keys. */
  clear(): void {
    this.#known.clear();
  }
}
