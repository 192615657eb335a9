/**
 * Target of a subscription: a channel, several channels, or a pattern.
 *
 * @module
 */

import { checkName } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";

/** Maximum number of channels per subscription. Limited because their positions share one id. */
const MOST_CHANNELS = 32;

/**
 * A channel, up to 32 channels, or a pattern. In a pattern, `*` matches any number of characters;
 * all other characters match themselves.
 *
 * @typeParam Name Names of the channels.
 */
export type SubscribeTarget<Name extends string = string> =
  | Name
  | readonly Name[]
  | { readonly pattern: string };

/**
 * Validates a target. Duplicate channels are removed.
 *
 * @throws {TypeError} If the target is invalid.
 * @throws {RangeError} If there are too many channels.
 */
export function readTarget(target: unknown): string | readonly string[] | Pattern {
  if (Array.isArray(target)) return readChannels(target);
  if (typeof target !== "object" || target === null) {
    checkName("subscribe to channel", target);
    return target as string;
  }
  const { pattern } = target as { readonly pattern?: string };
  checkName("subscribe to pattern", pattern);
  return new Pattern(pattern!);
}

function readChannels(channels: readonly unknown[]): string | readonly string[] {
  if (channels.length === 0) {
    throw new TypeError("Cannot subscribe to channels: the array is empty");
  }
  for (const channel of channels) checkName("subscribe to channel", channel);
  const names = [...new Set(channels as string[])];
  if (names.length > MOST_CHANNELS) {
    throw new RangeError(
      `Cannot subscribe to ${names.length} channels: one subscription takes ${MOST_CHANNELS}, make several`,
    );
  }
  return names.length === 1 ? names[0]! : names;
}
