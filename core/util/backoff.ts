/**
 * The exponential backoff, with jitter, between two attempts.
 *
 * @module
 */

import { unlessAborted } from "./abort.ts";

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
