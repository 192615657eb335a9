/**
 * The hook for observers of arriving events.
 *
 * @module
 */

import type { Target } from "../backend/contract.ts";
import type { MessageHeaders } from "../backend/headers.ts";

/** An arriving event. */
export interface Arrived {
  /** The channel that it was published to. */
  readonly channel: string;
  /** The id of the event, once it is delivered. */
  readonly id?: string | undefined;
  /** The headers of the message, if any. */
  readonly headers?: MessageHeaders | undefined;
}

/** The hook for observers, for the events of all channels. */
export interface Arrivals {
  /** Called for each event, if there are observers. Calls `deliver` once. */
  observe: ((event: Arrived, target: Target, deliver: () => void) => void) | undefined;
}
