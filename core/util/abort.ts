/**
 * Waits that an `AbortSignal` ends.
 *
 * @module
 */

/** Settles as the promise does, or rejects with the signal's reason if that aborts first. */
export function unlessAborted<Value>(
  signal: AbortSignal | undefined,
  promise: Promise<Value> | Value,
): Promise<Value> {
  if (!signal) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    function abort(): void {
      reject(signal!.reason);
    }
    if (signal.aborted) abort();
    Promise.resolve(promise).then(resolve, reject).finally(onAbort(signal, abort));
  });
}

/** Who waits for a signal. One listener serves them all: Node 20 warns of the eleventh. */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when a signal aborts.
 *
 * @returns Forgets it.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = waiting.get(signal) ?? new Set();
  waiting.set(signal, callbacks);
  if (callbacks.size === 0) signal.addEventListener("abort", abort);
  callbacks.add(callback);
  return () => {
    if (callbacks.delete(callback) && callbacks.size === 0) {
      signal.removeEventListener("abort", abort);
    }
  };
}

function abort(this: AbortSignal): void {
  for (const callback of [...waiting.get(this) ?? []]) callback();
}
