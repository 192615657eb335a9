/**
 * The idempotency keys that are known of a topic.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Once } from "../../../core/backend/idempotency_key.ts";
import type { Position } from "../../../core/backend/position.ts";
import type { Message } from "../kafkajs.ts";

/** The header of a record that has a key: for how many milliseconds it is known, `:`, and the key. */
export const KEY_HEADER = "broadcaster-key";

/** A key, and for how many milliseconds it is known. */
export interface Lasting extends Once {
  readonly expires: number;
}

const PATTERN = /^([1-9]\d{0,15}):(.+)$/s;

/** What the header says. */
export function writeKey({ key, expires }: Lasting): string {
  return `${expires}:${key}`;
}

/** The key of a record, if it has one. */
export function readKey({ headers }: Message): Lasting | undefined {
  const header = headers?.[KEY_HEADER];
  const [, expires, key] = Buffer.isBuffer(header) && PATTERN.exec(String(header)) || [];
  return key === undefined ? undefined : { key, expires: Number(expires) };
}

/** Where the record of a key lies, if that is told, and until when the key is known. */
export interface Known {
  readonly position: Position | undefined;
  readonly until: number;
}

/** The keys of one topic, as far as its log was read. */
export class Keys {
  /** Those that were used last at the end. */
  readonly #known = new Map<string, Known>();

  /** How many it remembers. */
  get size(): number {
    return this.#known.size;
  }

  /** The record of a key, if the key is known. */
  find(key: string, now: number): Known | undefined {
    const known = this.#known.get(key);
    return known && known.until > now ? known : undefined;
  }

  /**
   * A record has a key. It may have been told of before; what is known no longer is
   * forgotten.
   *
   * @param once What its header says.
   * @param position Where it lies, if that is told.
   * @param time When it was stored.
   * @param now Until when keys have to be known.
   */
  add({ key, expires }: Lasting, position: Position | undefined, time: number, now: number): void {
    const until = time + expires;
    if (until > now && !this.find(key, time)) {
      // At its place among the others it would be forgotten as what it was before.
      this.#known.delete(key);
      this.#known.set(key, { position, until });
    }
    for (const [key, { until }] of this.#known) {
      if (until > now) break;
      this.#known.delete(key);
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#known.clear();
  }
}
