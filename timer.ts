/**
 * Time, as the core needs it.
 *
 * @module
 */

/** Lets one turn of the event loop pass: readers that read have read by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => immediate(resolve));
}

const immediate: (callback: () => void) => unknown =
  (globalThis as { setImmediate?: (callback: () => void) => unknown }).setImmediate ??
    ((callback) => setTimeout(callback, 0));

/** Resolves after so many milliseconds; rejects with the signal's reason if that aborts. */
export async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await unlessAborted(
      signal,
      new Promise((resolve) => timer = setTimeout(resolve, milliseconds)),
    );
  } finally {
    clearTimeout(timer);
  }
}

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
    signal.addEventListener("abort", abort, { once: true });
    Promise.resolve(promise).then(resolve, reject).finally(() =>
      signal.removeEventListener("abort", abort)
    );
  });
}

/**
 * A timer that does not keep the process alive by itself.
 *
 * @param callback What it calls.
 * @param milliseconds When; what `setTimeout` cannot count to is its longest.
 * @returns Stops it.
 */
export function after(milliseconds: number, callback: () => void): () => void {
  const timer: unknown = setTimeout(callback, Math.min(milliseconds, 0x7fffffff));
  if (typeof timer === "object") (timer as { unref?: () => void }).unref?.();
  return () => clearTimeout(timer as number);
}
