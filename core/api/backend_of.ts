/**
 * The backends of broadcasts, for modules of the library that check a broker's features.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";

/** Resolves with the backend once it is connected. */
type Ready = () => Promise<Backend>;

/** The backends of open broadcasts. */
const backends = new WeakMap<object, Ready>();

/** Registers the backend of a broadcast. */
export function registerBackend(broadcast: object, ready: Ready): void {
  backends.set(broadcast, ready);
}

/**
 * The backend of a broadcast, once it is connected.
 *
 * @throws {TypeError} If the argument is not a broadcast.
 */
export async function backendOf(broadcast: object): Promise<Backend> {
  const ready = backends.get(broadcast);
  if (ready) return await ready();
  throw new TypeError("Cannot inspect broadcast: argument broadcast is not a Broadcast");
}
