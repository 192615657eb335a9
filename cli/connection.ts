/**
 * The broadcast of a command: opened with the given URL, and closed when the command ends.
 *
 * @module
 */

import { reasonOf } from "../core/backend/errors.ts";
import { inBackground } from "../core/util/background.ts";
import { quote } from "../core/util/quote.ts";
import { Broadcast, type Codec } from "../mod.ts";
import { type Arguments, UsageError } from "./arguments.ts";
import { MESSAGES } from "./message.ts";
import type { Terminal } from "./terminal.ts";

/** A broadcast whose messages are text or bytes. */
export type Connection = Broadcast<Record<string, string | Uint8Array>>;

/**
 * Opens a broadcast, uses it, and always closes it. Reports changes of its connection.
 *
 * @throws {UsageError} If the URL cannot be used.
 */
export async function connected(
  given: Arguments,
  terminal: Terminal,
  use: (broadcast: Connection) => Promise<number>,
): Promise<number> {
  const broadcast = openBroadcast(given.url);
  let wasConnected = false;
  broadcast.addEventListener("statechange", ({ state, error }) => {
    if (state === "reconnecting") {
      inBackground(terminal.warn(`connection lost, trying again: ${reasonOf(error)}`));
    } else if (state === "connected") {
      if (error !== undefined) inBackground(terminal.warn(`warning: ${reasonOf(error)}`));
      else if (wasConnected) inBackground(terminal.warn("connected again"));
      wasConnected = true;
    }
  });
  broadcast.addEventListener("messageerror", ({ channel, error }) => {
    inBackground(
      terminal.warn(`a message of ${quote(channel)} is skipped: ${reasonOf(error)}`),
    );
  });
  try {
    return await use(broadcast);
  } catch (error) {
    if (terminal.ending.aborted) return 0;
    throw error;
  } finally {
    await broadcast.disconnect();
  }
}

/**
 * Opens a broadcast.
 *
 * @throws {UsageError} If the URL cannot be used.
 */
export function openBroadcast(url: string): Connection {
  try {
    return new Broadcast(url, { codec: MESSAGES as Codec<string | Uint8Array> });
  } catch (error) {
    throw new UsageError(reasonOf(error), { cause: error });
  }
}
