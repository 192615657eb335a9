/**
 * Events dispatched by a broadcast: `statechange`, `gap` and `messageerror`.
 *
 * @module
 */

import type { Payload } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import type { BroadcastState } from "../backend/state.ts";

/**
 * Dispatched when the state of the connection to the broker changes. Also dispatched when the
 * backend is degraded, such as to polling. The state is then unchanged, and there is an error.
 */
export class StateChangeEvent extends Event {
  /** The new state. */
  readonly state: BroadcastState;
  /** The cause, if the connection was lost, could not be established, or is degraded. */
  readonly error: unknown;

  /**
   * Creates a `statechange` event.
   *
   * @param state The new state.
   * @param error The cause, if there is one.
   */
  constructor(state: BroadcastState, error?: unknown) {
    super("statechange");
    this.state = state;
    this.error = error;
  }
}

/**
 * Dispatched when events may be missing on a channel: once per gap that affects all subscriptions
 * of the channel, and once per gap of a single subscription.
 */
export class GapEvent extends Event {
  /** The channel, or the pattern. */
  readonly channel: string;
  /** The gap. */
  readonly gap: Gap;

  /**
   * Creates a `gap` event.
   *
   * @param channel The channel, or the pattern.
   * @param gap The gap.
   */
  constructor(channel: string, gap: Gap) {
    super("gap");
    this.channel = channel;
    this.gap = gap;
  }
}

/**
 * Dispatched when a payload cannot be decoded, or when a message cannot be written to an event
 * stream. The message is skipped; subscriptions and event streams continue.
 */
export class MessageErrorEvent extends Event {
  /** The channel of the payload. */
  readonly channel: string;
  /** The payload as received. `undefined` if it was decoded, but the message cannot be written. */
  readonly payload: Payload | undefined;
  /** The error thrown by the codec, or the reason why the message cannot be written. */
  readonly error: unknown;

  /**
   * Creates a `messageerror` event.
   *
   * @param channel The channel of the payload.
   * @param payload The payload as received.
   * @param error The error thrown by the codec.
   */
  constructor(channel: string, payload: Payload | undefined, error: unknown) {
    super("messageerror");
    this.channel = channel;
    this.payload = payload;
    this.error = error;
  }
}

/** Events of a broadcast, by type. */
export interface BroadcastEventMap {
  /** The state of the connection to the broker has changed. */
  statechange: StateChangeEvent;
  /** Events may be missing. */
  gap: GapEvent;
  /** A payload could not be decoded, or a message could not be written to an event stream. */
  messageerror: MessageErrorEvent;
}
