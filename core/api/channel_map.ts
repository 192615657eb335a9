/**
 * Channel maps: channel names and the types of their messages.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";

/** Names of the channels in a channel map. */
export type ChannelName<Channels extends object> = Extract<keyof Channels, string>;

/** Events of some channels, as a union: `event.channel` narrows `event.message`. */
export type EventOf<Channels extends object, Name extends ChannelName<Channels>> = Name extends
  unknown ? BroadcastEvent<Channels[Name], Name> : never;
