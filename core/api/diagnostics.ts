/**
 * Channels of `node:diagnostics_channel`, on runtimes that have it.
 *
 * @module
 */

import type { Gap } from "../backend/event.ts";
import type { BroadcastState } from "../backend/state.ts";
import { nodeModule } from "../util/environment.ts";
import { isThenable } from "../util/realm.ts";

/** The messages of the channels, by channel name without `broadcaster:`. */
export interface Notices {
  /** `publish()` has settled. */
  readonly publish: {
    /** The broadcast. */
    readonly broadcast: object;
    /** The channel that was published to. */
    readonly channel: string;
    /** The id of the event, if the broker reports it. */
    readonly id?: string | undefined;
    /** The reason, if the call was rejected. */
    readonly error?: unknown;
    /** How long the call took, in milliseconds. */
    readonly duration: number;
  };
  /** `subscribe()` has settled. */
  readonly subscribe: {
    /** The broadcast. */
    readonly broadcast: object;
    /** The channel, channels or pattern. */
    readonly target: unknown;
    /** The reason, if the call was rejected. */
    readonly error?: unknown;
    /** How long the call took, in milliseconds. */
    readonly duration: number;
  };
  /** Published for each `gap` event of the broadcast. */
  readonly gap: {
    /** The broadcast. */
    readonly broadcast: object;
    /** The channel, or the pattern. */
    readonly channel: string;
    /** The gap. */
    readonly gap: Gap;
  };
  /** The connection was lost, or is open again. */
  readonly reconnect: {
    /** The broadcast. */
    readonly broadcast: object;
    /** `reconnecting` when it was lost, `connected` when it is open again. */
    readonly state: BroadcastState;
    /** Why the connection was lost. */
    readonly error?: unknown;
    /** How long the connection was lost, in milliseconds, once it is open again. */
    readonly duration?: number;
  };
}

/** The used parts of a channel of Node. */
interface DiagnosticsChannel {
  readonly hasSubscribers: boolean;
  publish(message: unknown): void;
}

/** The channels, once they are loaded. */
export const channels: Partial<Record<keyof Notices, DiagnosticsChannel>> = {};
let loading: Promise<void> | undefined;
let isAsked = false;

/** Loads the channels, once per process. Returns a promise if loading is asynchronous. */
export function loadDiagnostics(): Promise<void> | undefined {
  if (isAsked) return loading;
  isAsked = true;
  const found = nodeModule<{ channel(name: string): DiagnosticsChannel }>("diagnostics_channel");
  const take = (module: Awaited<typeof found>) => {
    for (const name of ["publish", "subscribe", "gap", "reconnect"] as const) {
      if (module) channels[name] = module.channel(`broadcaster:${name}`);
    }
  };
  if (!isThenable(found)) take(found);
  else loading = found.then(take, () => {}).finally(() => loading = undefined);
  return loading;
}
