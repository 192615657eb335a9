/**
 * Channel names as MQTT topics.
 *
 * @module
 */

import type { Target } from "../../core/backend/contract.ts";
import { nameOf } from "../../core/backend/name.ts";
import type { Pattern } from "../../core/backend/pattern.ts";

/** The limit of the protocol, in bytes. */
const LONGEST = 65_535;

/** Characters that are wildcards, or that servers refuse. */
// deno-lint-ignore no-control-regex
const RESERVED = /[%+#\u0000-\u001f\u007f-\u009f\p{Noncharacter_Code_Point}]|^\$/gu;

/**
 * The topic of a channel: its name, with `%XX` for each byte of reserved characters and of a first
 * `$`.
 *
 * @throws {RangeError} If the topic is too long.
 */
export function topicOf(channel: string): string {
  const topic = channel.replace(RESERVED, encode);
  const length = new TextEncoder().encode(topic).length;
  if (length <= LONGEST) return topic;
  throw new RangeError(
    `Cannot use channel ${
      nameOf(channel)
    } on mqtt: its topic has ${length} bytes, the limit is ${LONGEST}`,
  );
}

/** The channel of a topic, or `undefined` if no channel has that topic. */
export function channelOf(topic: string): string | undefined {
  if (!topic.includes("%")) return topic.startsWith("$") ? undefined : topic;
  try {
    const channel = topic.replace(/(?:%[0-9A-F]{2})+/g, decodeURIComponent);
    return channel.replace(RESERVED, encode) === topic ? channel : undefined;
  } catch {
    return undefined;
  }
}

/** The narrowest filter for a channel, or for a pattern: the whole levels before its first `*`. */
export function filterOf(target: Target): string {
  return typeof target === "string" ? topicOf(target) : filterOfPattern(target);
}

function filterOfPattern({ pieces }: Pattern): string {
  const beginning = pieces[0]!;
  if (pieces.length === 1) return topicOf(beginning);
  return `${topicOf(beginning.slice(0, beginning.lastIndexOf("/") + 1))}#`;
}

function encode(character: string): string {
  return Array.from(
    new TextEncoder().encode(character),
    (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
  ).join("");
}
