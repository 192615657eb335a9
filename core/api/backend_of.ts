/**
 * The backends of broadcasts, for modules of the library that ask what a broker can do.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";

/** Resolves with the backend once it is connected. */
type Ready = () => Promise<Backend>;

/** Those of broadcasts that are open. */
const backends = new WeakMap<object, Ready>();

/** A broadcast has a backend from now on. */
export function registerBackend(broadcast: object, ready: Ready): void {
  backends.set(broadcast, ready);
}

/**
 * The backend of a broadcast, once it is connected.
 *
 * @throws {TypeError} If it is none.
 */
export async function backendOf(broadcast: object): Promise<Backend> {
  const ready = backends.get(broadcast);
  if (ready) return await ready();
  throw new TypeError("Cannot inspect broadcast: argument broadcast is not a Broadcast");
}
