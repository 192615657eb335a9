/**
 * Idempotency keys: messages with the same key are stored once, however often they are published.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import { nameOf } from "./name.ts";

/** An idempotency key and its lifetime. */
export interface Once {
  /** The key, at most 256 bytes in UTF-8. */
  readonly key: string;
  /** The minimum lifetime of the key in whole milliseconds. `lifetimeOf()` has the default. */
  readonly ttl?: number | undefined;
}

/** The default lifetime of a key in milliseconds, and its maximum length in bytes. */
export const TTL = 300_000;
const LIMIT = 256;

/**
 * Validates the options `idempotencyKey` and `idempotencyTtl` of a publish.
 *
 * @throws {TypeError} If the key is invalid, or there is a lifetime without a key.
 * @throws {RangeError} If the key is too long, or the lifetime is out of range.
 */
export function readOnce(channel: string, key: unknown, ttl: unknown): Once | undefined {
  const refuse = (reason: string) =>
    new TypeError(`Cannot publish to ${nameOf(channel)}: ${reason}`);
  if (key === undefined) {
    if (ttl === undefined) return undefined;
    throw refuse("idempotencyTtl needs an idempotencyKey");
  }
  if (typeof key !== "string") {
    throw refuse(`idempotencyKey must be a string, it is ${kindOf(key)}`);
  }
  if (key === "") throw refuse("idempotencyKey is empty");
  if (!key.isWellFormed()) throw refuse("idempotencyKey has a lone surrogate");
  if (key.includes("\0")) throw refuse("idempotencyKey has a NUL");
  const length = new TextEncoder().encode(key).length;
  if (length > LIMIT) {
    throw new RangeError(
      `Cannot publish to ${
        nameOf(channel)
      }: idempotencyKey has ${length} bytes, the limit is ${LIMIT}`,
    );
  }
  if (ttl === undefined) return { key };
  if (typeof ttl === "number" && ttl > 0 && ttl <= Number.MAX_SAFE_INTEGER) {
    return { key, ttl: Math.ceil(ttl) };
  }
  throw new RangeError(
    `Cannot publish to ${
      nameOf(channel)
    }: idempotencyTtl must be a number of milliseconds above 0 and below 2^53, it is ${
      typeof ttl === "number" ? ttl : kindOf(ttl)
    }`,
  );
}

/**
 * The lifetime of a key in milliseconds.
 *
 * @param window The broker's own lifetime of keys, if it has one: it applies to every key.
 */
export function lifetimeOf({ ttl }: Once, window?: number): number {
  return ttl ?? window ?? TTL;
}
