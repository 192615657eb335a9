/**
 * The hook for observers of arriving events.
 *
 * @module
 */

import type { BackendRecord, Target } from "../backend/contract.ts";

/** An arriving event. */
export interface Arrived extends Pick<BackendRecord, "headers"> {
  /** The channel that it was published to. */
  readonly channel: string;
  /** The id of the event, once it is delivered. */
  readonly id?: string | undefined;
}

/** The hook for observers, for the events of all channels. */
export interface Arrivals {
  /** Called for each event, if there are observers. Calls `deliver` once. */
  observe: ((event: Arrived, target: Target, deliver: () => void) => void) | undefined;
}
