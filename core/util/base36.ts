/**
 * Numbers in base 36.
 *
 * @module
 */

/** The number of two-digit texts. */
const BLOCK = 36 * 36;
/** All two-digit texts. They are made for the first longer number, not at each program start. */
let last: readonly string[] = [];
/** The latest number without its last two digits, and its text. */
let high = 0;
let prefix = "";

/**
 * Formats a number from 0 up to 2^53. Consecutive numbers share their first digits, so these are
 * cached. `toString(36)` takes ten times as long.
 */
export function base36(number: number): string {
  if (number < BLOCK) return number.toString(36);
  const block = Math.floor(number / BLOCK);
  if (block !== high) {
    if (high === 0) {
      last = Array.from({ length: BLOCK }, (_, rest) => rest.toString(36).padStart(2, "0"));
    }
    high = block;
    prefix = block.toString(36);
  }
  return prefix + last[number - block * BLOCK]!;
}
