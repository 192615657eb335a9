/**
 * Idempotency keys, which the server remembers beside the stream.
 *
 * @module
 */

import type { Buffer } from "node:buffer";
import type { ChainableCommander } from "ioredis";
import { lifetimeOf, type Once } from "../../../core/backend/idempotency_key.ts";
import { Position } from "../../../core/backend/position.ts";
import { placeOf } from "./record.ts";

/**
 * Adds an entry unless its key is known; either way it answers where the entry
 * of the key lies, and what it is recognised by. Scripts run alone, and are not
 * rolled back: whether the key can be remembered is tried first.
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

/** Stands between a channel and its key; no channel has it in its name. */
export const INFIX = ":broadcaster-key:";

/** Where the server remembers a key of a stream, if it can. */
export type KeyName = (channel: string, once: Once) => string | undefined;

/** Where a single server does. */
export function keyNameOf(channel: string, { key }: Once): string {
  return `${channel}${INFIX}${encodeURIComponent(key)}`;
}

/** What a script needs to know. */
export interface KeyedEntry {
  /** The stream. */
  readonly channel: string;
  /** Where the server remembers the key. */
  readonly name: string;
  /** How long. */
  readonly once: Once;
  /** What the entry is recognised by. */
  readonly fingerprint: string;
  /** What XADD is told behind the stream's name. */
  readonly entry: readonly (string | number | Buffer)[];
}

/** Adds the script to a pipeline. */
export function addOnce(
  pipeline: ChainableCommander,
  { channel, name, once, fingerprint, entry }: KeyedEntry,
): void {
  pipeline.eval(SCRIPT, 2, channel, name, fingerprint, lifetimeOf(once), ...entry);
}

/** Where the entry lies of which a script tells. */
export function positionOf(answer: string): Position {
  const [id, fingerprint] = answer.split(" ");
  return Position.of(placeOf(id!, fingerprint!));
}
