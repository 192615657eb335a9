/**
 * Helpers for an `AbortSignal`.
 *
 * @module
 */

/** Settles like the promise, or rejects with the signal's reason if the signal aborts first. */
export function unlessAborted<Value>(
  signal: AbortSignal | undefined,
  promise: Promise<Value> | Value,
): Promise<Value> {
  if (!signal) return Promise.resolve(promise);
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const forget = onAbort(signal, () => reject(signal.reason));
    Promise.resolve(promise).then((value) => {
      forget();
      resolve(value);
    }, (error) => {
      forget();
      reject(error);
    });
  });
}

/**
 * The callbacks of each signal. They share one listener, since Node 20 warns about the eleventh.
 */
const waiting = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when a signal aborts.
 *
 * @returns A function that removes the callback.
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
