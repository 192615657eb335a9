/**
 * Channel names as AMQP routing keys.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Target } from "../../core/backend/contract.ts";
import { nameOf } from "../../core/backend/name.ts";

/** The limit of the protocol, in bytes. */
const LONGEST = 255;

/** Words that are wildcards in a binding, and the character that starts an escape. */
const RESERVED = /(?<![^.])[*#](?![^.])|%/g;
const ESCAPED = /%(?:2A|23|25)/g;

/**
 * The routing key of a channel: its name, with `%2A` and `%23` in place of a word that is `*` or
 * `#` alone, and `%25` in place of each `%`.
 *
 * @throws {RangeError} If the key is too long.
 */
export function keyOf(channel: string): string {
  const key = channel.replace(RESERVED, encode);
  const length = Buffer.byteLength(key);
  if (length <= LONGEST) return key;
  throw new RangeError(
    `Cannot use channel ${
      nameOf(channel)
    } on amqp: its routing key has ${length} bytes, the limit is ${LONGEST}`,
  );
}

/** The channel of a routing key, if a channel has that key. */
export function channelOf(key: string): string | undefined {
  const channel = key.replace(ESCAPED, decodeURIComponent);
  return channel.replace(RESERVED, encode) === key ? channel : undefined;
}

/** The narrowest binding for a channel, or for a pattern: its whole words at both ends. */
export function bindingOf(target: Target): string {
  if (typeof target === "string") return keyOf(target);
  const { pieces } = target;
  const [first, last] = [pieces[0]!, pieces.at(-1)!];
  if (pieces.length === 1) return keyOf(first);
  const beginning = first.slice(0, first.lastIndexOf(".") + 1);
  const dot = last.indexOf(".");
  const end = dot < 0 ? "" : last.slice(dot);
  return `${beginning && keyOf(beginning)}#${end && keyOf(end)}`;
}

function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}
