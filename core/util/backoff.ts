/**
 * Exponential backoff with jitter.
 *
 * @module
 */

import { unlessAborted } from "./abort.ts";

/** The first and the longest delay, in milliseconds. The delay doubles with each attempt. */
const SHORTEST_PAUSE = 50;
const LONGEST_PAUSE = 5_000;

/** The longest delay before an attempt, in milliseconds. */
export function longestPause(attempt: number): number {
  return Math.min(SHORTEST_PAUSE * 2 ** attempt, LONGEST_PAUSE);
}

/**
 * Waits before the next attempt. Jitter keeps the processes that lost a broker from reconnecting
 * all at once.
 *
 * @param attempt The number of attempts so far, from 0.
 * @param signal Rejects the wait with its reason when it aborts.
 */
export async function backoff(attempt: number, signal: AbortSignal): Promise<void> {
  const longest = longestPause(attempt);
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
