/**
 * Rounds: everything that is compared takes turns, so that what disturbs the
 * machine disturbs all of it.
 *
 * @module
 */

/** What several rounds brought. */
export interface Spread {
  /** The middle one. */
  readonly median: number;
  /** The smallest. */
  readonly least: number;
  /** The largest. */
  readonly most: number;
}

/** The median of some numbers, and how far they lie apart. */
export function spread(numbers: readonly number[]): Spread {
  const sorted = numbers.toSorted((a, b) => a - b);
  return {
    median: quantile(sorted, 0.5),
    least: sorted[0] ?? NaN,
    most: sorted.at(-1) ?? NaN,
  };
}

/** The number below which such a part of the sorted numbers lies. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

/** The median of each so many numbers. */
export function medians(numbers: readonly number[], size: number): number[] {
  return Array.from(
    { length: numbers.length / size },
    (_, round) => spread(numbers.slice(round * size, (round + 1) * size)).median,
  );
}

/** The quotients of two series, round by round. */
export function ratio(ours: readonly number[], theirs: readonly number[]): Spread {
  return spread(ours.map((number, round) => number / theirs[round]!));
}

/**
 * Runs so many rounds in which each contender has its turn, in an order that is
 * drawn anew for each round: what a process does behind its turn disturbs the next
 * one, which must not always be the same. One more round comes before them, to
 * warm up.
 *
 * @returns What each contender brought, round by round.
 */
export async function rounds<Contender, Result>(
  count: number,
  contenders: readonly Contender[],
  measure: (contender: Contender) => Promise<Result>,
): Promise<Result[][]> {
  const results = contenders.map((): Result[] => []);
  for (let round = -1; round < count; round++) {
    for (const index of shuffled(contenders.length)) {
      collectGarbage();
      const result = await measure(contenders[index]!);
      if (round >= 0) results[index]!.push(result);
    }
  }
  return results;
}

/** The numbers below another one, in any order (Fisher–Yates). */
function shuffled(count: number): number[] {
  const numbers = Array.from({ length: count }, (_, index) => index);
  for (let left = count; left > 1; left--) {
    const drawn = Math.floor(Math.random() * left);
    [numbers[left - 1], numbers[drawn]] = [numbers[drawn]!, numbers[left - 1]!];
  }
  return numbers;
}

/** Collects all garbage, where `--expose-gc` allows it. */
export function collectGarbage(): void {
  (globalThis as { gc?: () => void }).gc?.();
}

/** Lets one turn of the event loop pass: all microtasks have run by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => immediate(resolve));
}

const { setImmediate: immediate } = globalThis as unknown as {
  setImmediate: (callback: () => void) => void;
};
