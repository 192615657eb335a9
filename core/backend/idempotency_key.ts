/**
 * Idempotency keys: messages that are stored once, however often they are published.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";

/** What tells that two messages of a channel are the same. */
export interface Once {
  /** Of at most 256 bytes. */
  readonly key: string;
  /** How long it is known at least, in whole milliseconds; if nobody has said, see `lifetimeOf()`. */
  readonly expires?: number | undefined;
}

/** The backends that know keys. */
export const KEYED = [
  "memory",
  "redis-stream",
  "postgres-stream",
  "nats-stream",
] as const;

/** How long a key is known if nobody says, in milliseconds, and its length at most, in bytes. */
export const EXPIRES = 300_000;
const LIMIT = 256;

/**
 * What was asked for by a key.
 *
 * @throws {TypeError} If the key cannot be used, or there is none to expire.
 * @throws {RangeError} If it is too long, or expires at no time.
 */
export function readOnce(channel: string, key: unknown, expires: unknown): Once | undefined {
  const refuse = (reason: string) => new TypeError(`Cannot publish to "${channel}": ${reason}`);
  if (key === undefined) {
    if (expires === undefined) return undefined;
    throw refuse("there is no key to expire");
  }
  if (typeof key !== "string") throw refuse(`the key must be a string, it is ${kindOf(key)}`);
  if (key === "") throw refuse("the key is empty");
  if (!key.isWellFormed()) throw refuse("the key has a lone surrogate");
  if (key.includes("\0")) throw refuse("the key has a NUL");
  const length = new TextEncoder().encode(key).length;
  if (length > LIMIT) {
    throw new RangeError(
      `Cannot publish to "${channel}": the key has ${length} bytes, the limit is ${LIMIT}`,
    );
  }
  if (expires === undefined) return { key };
  if (typeof expires === "number" && expires > 0 && expires <= Number.MAX_SAFE_INTEGER) {
    return { key, expires: Math.ceil(expires) };
  }
  throw new RangeError(
    `Cannot publish to "${channel}": expires must be a number of milliseconds above 0 and below 2^53, it is ${
      typeof expires === "number" ? expires : kindOf(expires)
    }`,
  );
}

/**
 * How long a key is known, in milliseconds.
 *
 * @param window The broker's own limit, if it has one: it knows every key as long.
 */
export function lifetimeOf({ expires }: Once, window?: number): number {
  return expires ?? window ?? EXPIRES;
}
