/**
 * Random names of twelve characters.
 *
 * @module
 */

/** Twelve random characters of `0-9 a-z`, unique for all practical purposes. */
export function random(): string {
  const [low = 0, high = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (pad(low) + pad(high)).slice(2);
}

function pad(number: number): string {
  return number.toString(36).padStart(7, "0");
}
