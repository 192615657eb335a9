/**
 * Names of control channels. Each accompanies a channel, and carries data that is not a message.
 *
 * @module
 */

/**
 * The suffix of a control channel's name. Every broker accepts it: Kafka allows letters, digits and
 * `._-`, and Postgres 63 bytes in total.
 */
const SUFFIX = ".-control";

/** The name of the control channel of a channel. */
export function controlChannelOf(channel: string): string {
  return channel + SUFFIX;
}

/**
 * Whether a name belongs to a control channel. Users cannot use such names, and no pattern matches
 * them.
 */
export function isControlChannel(name: string): boolean {
  return name.endsWith(SUFFIX);
}

/** The channel that a control channel accompanies. */
export function channelOfControl(name: string): string {
  return name.slice(0, -SUFFIX.length);
}
