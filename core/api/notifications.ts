/**
 * The events that a broadcast dispatches: `statechange`, `gap` and `messageerror`.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import type { BroadcastState } from "../backend/state.ts";

/** The connection to the broker has changed. */
export class StateChangeEvent extends Event {
  /** What it is now. */
  readonly state: BroadcastState;
  /** Why, if it was lost or could not be made. */
  readonly error: unknown;

  /**
   * A notice of a change.
   *
   * @param state What it is now.
   * @param error Why.
   */
  constructor(state: BroadcastState, error?: unknown) {
    super("statechange");
    this.state = state;
    this.error = error;
  }
}

/**
 * A gap on a channel. One that concerns all subscriptions of the channel is
 * dispatched once, one that concerns a single subscription as well.
 */
export class GapEvent extends Event {
  /** The channel that has the gap. */
  readonly channel: string;
  /** The gap. */
  readonly gap: Gap;

  /**
   * A notice of a gap.
   *
   * @param channel The channel that has the gap.
   * @param gap The gap.
   */
  constructor(channel: string, gap: Gap) {
    super("gap");
    this.channel = channel;
    this.gap = gap;
  }
}

/** A payload could not be decoded. It was skipped; the stream goes on. */
export class MessageErrorEvent extends Event {
  /** The channel that it came on. */
  readonly channel: string;
  /** The payload, as it came. */
  readonly payload: Payload;
  /** What the codec threw. */
  readonly error: unknown;

  /**
   * A notice of a payload.
   *
   * @param channel The channel that it came on.
   * @param payload The payload, as it came.
   * @param error What the codec threw.
   */
  constructor(channel: string, payload: Payload, error: unknown) {
    super("messageerror");
    this.channel = channel;
    this.payload = payload;
    this.error = error;
  }
}

/** The events of a broadcast, by their type. */
export interface BroadcastEventMap {
  /** The connection to the broker has changed. */
  statechange: StateChangeEvent;
  /** Events may be missing. */
  gap: GapEvent;
  /** A payload could not be decoded. */
  messageerror: MessageErrorEvent;
}
