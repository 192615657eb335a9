/**
 * Time, as the core needs it.
 *
 * @module
 */

import { unlessAborted } from "./abort.ts";

/** Lets one turn of the event loop pass: readers that read have read by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => immediate(resolve));
}

const immediate: (callback: () => void) => unknown =
  (globalThis as { setImmediate?: (callback: () => void) => unknown }).setImmediate ??
    ((callback) => setTimeout(callback, 0));

/** The longest that `setTimeout` can count to; what is longer would end at once. */
export const LONGEST = 0x7fffffff;

/** The first pause before trying again, doubled each time up to the longest. */
const SHORTEST_PAUSE = 50;
const LONGEST_PAUSE = 5_000;

/**
 * Pauses before trying again: exponentially longer, with jitter, so that a fleet
 * that lost its broker does not return as one.
 *
 * @param attempt How often has been tried, from 0.
 * @param signal Rejects with its reason if it aborts.
 */
export async function backoff(attempt: number, signal: AbortSignal): Promise<void> {
  const longest = Math.min(SHORTEST_PAUSE * 2 ** attempt, LONGEST_PAUSE);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    await unlessAborted(
      signal,
      new Promise((resolve) => timer = setTimeout(resolve, longest * (0.5 + Math.random() / 2))),
    );
  } finally {
    clearTimeout(timer);
  }
}

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
