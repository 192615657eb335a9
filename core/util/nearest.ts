/**
 * Suggests a known name for an unknown one.
 *
 * @module
 */

import { quote } from "./quote.ts";

/**
 * A suggestion for an unknown name, as the end of a sentence: the nearest known name, or all of
 * them.
 */
export function suggestion(name: string, known: readonly string[], kind: string): string {
  const nearest = nearestOf(name, known);
  return nearest === undefined
    ? `known ${kind} are ${known.join(", ")}`
    : `did you mean ${quote(nearest)}?`;
}

/** The known name that differs least, if at most a third of its letters differ. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  const plain = plainOf(name);
  let nearest: string | undefined;
  let least = Infinity;
  for (const other of known) {
    const distance = editDistance(plain, plainOf(other));
    if (distance < least && distance <= other.length / 3) {
      least = distance;
      nearest = other;
    }
  }
  return nearest;
}

/** Other clients write `max_bytes` or `max-bytes` for `maxBytes`. */
function plainOf(name: string): string {
  return name.slice(0, 64).toLowerCase().replace(/[-_]/g, "");
}

/** Levenshtein distance: the least number of letters to insert, delete or replace. */
function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let at = 1; at <= one.length; at++) {
    const next = [at];
    for (let index = 1; index <= other.length; index++) {
      const replaced = row[index - 1]! + (one[at - 1] === other[index - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[index]! + 1, next[index - 1]! + 1));
    }
    row = next;
  }
  return row[other.length]!;
}
