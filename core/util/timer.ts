/**
 * Timers that do not keep the process alive, and turns of the event loop.
 *
 * @module
 */

import { inBackground } from "./background.ts";

/** Resolves after one turn of the event loop: pending reads have been served by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    // Looked up only when needed, since Deno loads `node:timers` for it, which takes several
    // milliseconds.
    const { setImmediate: immediate = setTimeout } = globalThis as Partial<Immediates>;
    immediate(resolve);
  });
}

/** What browsers do not have. */
interface Immediates {
  readonly setImmediate: (callback: () => void) => unknown;
}

/**
 * Calls back in a microtask. The callback must not throw. Node's `queueMicrotask()` creates a
 * resource for each call, which takes several times as long.
 */
export function soon(callback: () => void): void {
  inBackground(RESOLVED.then(callback));
}

const RESOLVED = Promise.resolve();

/** The longest delay of `setTimeout()`, in milliseconds. A longer one would fire immediately. */
export const LONGEST = 0x7fffffff;

/** A promise and its `resolve` function. Node 20 has no `Promise.withResolvers()`. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve!: () => void;
  const promise = new Promise<void>((given) => resolve = given);
  return { promise, resolve };
}

/**
 * Starts a timer that does not keep the process alive.
 *
 * @param milliseconds The delay, capped at `LONGEST`.
 * @param callback Called after the delay.
 * @returns A function that stops the timer.
 */
export function after(milliseconds: number, callback: () => void): () => void {
  const timer: unknown = setTimeout(callback, Math.min(milliseconds, LONGEST));
  if (typeof timer === "object") (timer as { unref?: () => void }).unref?.();
  return () => clearTimeout(timer as number);
}
