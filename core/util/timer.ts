/**
 * Timers that keep no process alive, and turns of the event loop.
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

/** The longest that `setTimeout` can count to; what is longer would end at once. */
export const LONGEST = 0x7fffffff;

/** A promise, and what resolves it. `Promise.withResolvers` is not in Node 20. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((given) => resolve = given);
  return { promise, resolve };
}

/**
 * A timer that does not keep the process alive by itself.
 *
 * @param callback What it calls.
 * @param milliseconds When; what `setTimeout` cannot count to is its longest.
 * @returns Stops it.
 */
export function after(milliseconds: number, callback: () => void): () => void {
  const timer: unknown = setTimeout(callback, Math.min(milliseconds, LONGEST));
  if (typeof timer === "object") (timer as { unref?: () => void }).unref?.();
  return () => clearTimeout(timer as number);
}
