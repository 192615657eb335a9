/**
 * Reproducible random numbers and values.
 *
 * @module
 */

/** A seeded random number generator (mulberry32). */
export class Random {
  #state: number;

  /** @param seed The seed: the same one produces the same values. */
  constructor(seed: number) {
    this.#state = Math.imul(seed, 0x9e3779b1);
  }

  /** A number of at least 0 and less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number of at least 0 and less than the limit. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** `true` with a probability of 1 in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of the values, or `undefined` if there are none. */
  of<Value>(values: readonly Value[]): Value | undefined {
    return values[this.below(values.length)];
  }

  /** Up to `limit` created values. */
  some<Value>(limit: number, make: () => Value): Value[] {
    return Array.from({ length: this.below(limit + 1) }, make);
  }
}

/** The characters of texts, including control characters and surrogate pairs. */
const LETTERS = [..."aZ 0é漢\ufeff\u2028\uffff\u0301🎉'\"\\%{}<>/:=\r\n\t\u0001\u007f\u0085"];

/**
 * A text without a lone surrogate. One in ten has a NUL, which Postgres rejects. With the lone
 * surrogates of `anyString()`, Postgres still accepts far more than half of a hundred texts: half
 * is five standard deviations below the mean.
 */
export function anyText(random: Random): string {
  return random.some(40, () => random.once(200) ? "\0" : random.of(LETTERS)).join("");
}

/** A text that sometimes has a lone surrogate. */
export function anyString(random: Random): string {
  const text = anyText(random);
  return random.once(5) ? text + random.of(["\ud800", "\udfff", "\udc00\ud83d"]) : text;
}

/** Random bytes. */
export function anyBytes(random: Random): Uint8Array {
  return Uint8Array.from(random.some(300, () => random.below(256)));
}

/** A JSON value. */
export function anyValue(random: Random, depth = 4): unknown {
  const kind = random.below(depth > 0 ? 8 : 6);
  if (kind === 0) return random.of([null, true, false]);
  if (kind === 1) return Math.round((random.next() - 0.5) * 2 ** (random.next() * 53)) + 0;
  if (kind === 2) return (random.next() - 0.5) * 10 ** (random.below(600) - 300);
  if (kind <= 5) return anyText(random);
  const values = random.some(5, () => anyValue(random, depth - 1));
  if (kind === 6) return values;
  return Object.fromEntries(values.map((value) => [`k${anyText(random)}`, value]));
}
