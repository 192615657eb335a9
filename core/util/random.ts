/**
 * Random names of twelve characters.
 *
 * @module
 */

/** Random numbers for later calls. Getting many at once costs as much as getting one. */
const numbers = new Uint32Array(128);
let next = numbers.length;

/** Twelve random characters of `0-9 a-z`, unique for all practical purposes. */
export function random(): string {
  if (next === numbers.length) {
    crypto.getRandomValues(numbers);
    next = 0;
  }
  return (pad(numbers[next++]!) + pad(numbers[next++]!)).slice(2);
}

function pad(number: number): string {
  return number.toString(36).padStart(7, "0");
}
