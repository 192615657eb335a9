/**
 * Idempotency keys, stored next to their stream.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { ChainableCommander } from "ioredis";
import { RefusedError } from "../../../core/backend/errors.ts";
import { lifetimeOf, type Once } from "../../../core/backend/idempotency_key.ts";
import { Position } from "../../../core/backend/position.ts";
import { placeOf } from "./record.ts";

/**
 * Adds an entry unless its key is known. Returns the id and the fingerprint of the entry with that
 * key. Scripts run alone and are not rolled back, so the key is written first.
 */
const SCRIPT = `
local known = redis.call("GET", KEYS[2])
if known and known ~= "" then return known end
redis.call("SET", KEYS[2], "", "PX", ARGV[2])
local id = redis.pcall("XADD", KEYS[1], unpack(ARGV, 3))
if type(id) == "table" then
  redis.call("SET", KEYS[2], "", "PX", 1)
  return id
end
known = id .. " " .. ARGV[1]
redis.call("SET", KEYS[2], known, "PX", ARGV[2])
return known`;

/** Separates a channel from its key; reserved in the names of channels. */
export const INFIX = ":broadcaster-key:";

/** Returns the name under which the server stores a key of a stream, if possible. */
export type KeyName = (channel: string, once: Once) => string | undefined;

/** The name on a single server. */
export function keyNameOf(channel: string, { key }: Once): string {
  return `${channel}${INFIX}${encodeURIComponent(key)}`;
}

/** An entry with an idempotency key. */
export interface KeyedEntry {
  /** The stream. */
  readonly channel: string;
  /** The name under which the key is stored. */
  readonly name: string;
  /** The key and its lifetime. */
  readonly once: Once;
  /** The fingerprint of the payload. */
  readonly fingerprint: string;
  /** The arguments of XADD after the name of the stream. */
  readonly entry: readonly (string | number | Buffer)[];
}

/** Adds the script to a pipeline. */
export function addOnce(
  pipeline: ChainableCommander,
  { channel, name, once, fingerprint, entry }: KeyedEntry,
): void {
  pipeline.eval(SCRIPT, 2, channel, name, fingerprint, lifetimeOf(once), ...entry);
}

/**
 * The position in the script's answer.
 *
 * @throws {RefusedError} If the stored value of the key is not an id.
 */
export function positionOf(answer: string): Position {
  const [, id, fingerprint] = /^(\d+-\d+) (\S*)$/.exec(answer) ?? [];
  if (id === undefined) {
    throw new RefusedError(
      "another program has stored something where its idempotency key is kept",
    );
  }
  return Position.of(placeOf(id, fingerprint!));
}
