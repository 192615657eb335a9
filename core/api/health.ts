/**
 * The health of a broadcast, for readiness endpoints.
 *
 * @module
 */

import { ConnectionError, reasonOf } from "../backend/errors.ts";
import type { BroadcastState } from "../backend/state.ts";
import type { Connection } from "../broker/connection.ts";
import { unlessAborted } from "../util/abort.ts";
import { after } from "../util/timer.ts";

/** The time limit for the broker's answer, in milliseconds. */
const LIMIT = 5_000;

/** The health of a broadcast, as plain data for `JSON.stringify()`. */
export interface BroadcastHealth {
  /** `true` if the broadcast is connected and the broker has answered. */
  readonly ok: boolean;
  /** State of the connection to the broker. */
  readonly state: BroadcastState;
  /** When the connection entered that state, in milliseconds since the Unix epoch. */
  readonly since: number;
  /** How long the broker took to answer, in milliseconds. Absent if it was not asked. */
  readonly latency?: number;
  /**
   * Why the broadcast is not ok, or why it is degraded. Contains the address of the broker, but no
   * credentials.
   */
  readonly reason?: string;
}

/** Asks the broker. Never rejects. */
export async function healthOf(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<BroadcastHealth> {
  const limit = new AbortController();
  const stop = after(LIMIT, () => {
    const message = `${connection.address} did not answer for ${LIMIT / 1_000} s`;
    limit.abort(new ConnectionError(message));
  });
  let answer: { latency?: number; reason?: string };
  try {
    answer = await unlessAborted(signal, unlessAborted(limit.signal, ask(connection)));
  } catch (error) {
    answer = { reason: reasonOf(error) };
  } finally {
    stop();
  }
  const { state, since } = connection;
  // A connection that works can still have a warning.
  const warning = connection.backend?.warning;
  const ok = state === "connected" && answer.reason === undefined;
  return { ok, state, since, ...warning && { reason: reasonOf(warning) }, ...answer };
}

/** Connects at first use, like every method. Does not wait for a lost connection. */
async function ask(connection: Connection): Promise<{ latency?: number }> {
  if (!connection.up && connection.state === "reconnecting") throw lost(connection);
  await connection.ready();
  if (!connection.backend?.probe) return {};
  const start = performance.now();
  await unlessAborted(connection.closing, connection.ask());
  if (!connection.up) throw lost(connection);
  return { latency: performance.now() - start };
}

function lost({ address, error }: Connection): ConnectionError {
  const reason = error === undefined ? "" : `, ${reasonOf(error)}`;
  return new ConnectionError(`not connected to ${address}${reason}`);
}
