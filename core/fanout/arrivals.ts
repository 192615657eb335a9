/**
 * Where events arrive, for those who observe them.
 *
 * @module
 */

import type { Target } from "../backend/contract.ts";
import type { MessageHeaders } from "../backend/headers.ts";

/** What is known of an event that arrives. */
export interface Arrived {
  /** The channel that it was published to. */
  readonly channel: string;
  /** Its id, once it is delivered. */
  readonly id?: string | undefined;
  /** Metadata of the message, if it has any. */
  readonly headers?: MessageHeaders | undefined;
}

/** Where the events of all channels arrive. */
export interface Arrivals {
  /** Called for each event, if anyone observes them; calls `deliver` once. */
  observe: ((event: Arrived, target: Target, deliver: () => void) => void) | undefined;
}
