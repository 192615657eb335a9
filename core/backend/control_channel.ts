/**
 * Names of control channels: each accompanies a channel, and carries what is no message.
 *
 * @module
 */

/**
 * What the name of a control channel ends in. Every broker takes it as it is: Kafka allows letters,
 * digits and `._-`, and Postgres 63 bytes in all.
 */
const SUFFIX = ".-control";

/** The name of the control channel of a channel. */
export function controlChannelOf(channel: string): string {
  return channel + SUFFIX;
}

/** Whether a name is that of a control channel: users have none, and no pattern matches it. */
export function isControlChannel(name: string): boolean {
  return name.endsWith(SUFFIX);
}

/** The channel that a control channel accompanies. */
export function channelOfControl(name: string): string {
  return name.slice(0, -SUFFIX.length);
}
