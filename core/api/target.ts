/**
 * The target of a subscription: a channel, several, or a pattern.
 *
 * @module
 */

import { checkName } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";

/** How many channels one subscription may have: their positions share one id. */
const MOST_CHANNELS = 32;

/** All channels whose names match. */
export interface ChannelPattern {
  /** `*` stands for any run of characters, everything else for itself. */
  readonly pattern: string;
}

/**
 * A channel, at most 32 channels, or all that match a pattern.
 *
 * @typeParam Name The names of the channels.
 */
export type SubscribeTarget<Name extends string = string> =
  | Name
  | readonly Name[]
  | ChannelPattern;

/**
 * The parts of a target. Of a channel that is named twice there is one.
 *
 * @throws {TypeError} If it is none.
 * @throws {RangeError} If it is too many channels.
 */
export function readTarget(target: unknown): string | readonly string[] | Pattern {
  if (Array.isArray(target)) return readChannels(target);
  if (typeof target !== "object" || target === null) {
    checkName("subscribe to channel", target);
    return target as string;
  }
  const { pattern } = target as Partial<ChannelPattern>;
  checkName("subscribe to pattern", pattern);
  return new Pattern(pattern!);
}

function readChannels(channels: readonly unknown[]): string | readonly string[] {
  if (channels.length === 0) throw new TypeError("Cannot subscribe to channels: there are none");
  for (const channel of channels) checkName("subscribe to channel", channel);
  const names = [...new Set(channels as string[])];
  if (names.length > MOST_CHANNELS) {
    throw new RangeError(
      `Cannot subscribe to ${names.length} channels: one subscription takes ${MOST_CHANNELS}, make several`,
    );
  }
  return names.length === 1 ? names[0]! : names;
}
