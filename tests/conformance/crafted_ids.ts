/**
 * Event ids as a malicious client may send them: altered real ones, and any other text.
 *
 * @module
 */

import type { Random } from "./random.ts";

/** Characters that are valid in an id, and some that are not. */
const LETTERS = [..."019azAZ._~-%+ \n\0é🎉"];

/** Numbers in base 36, as in ids, and others out of range. */
const NUMBERS = [
  "",
  "0",
  "00",
  "-1",
  "1",
  "zzz",
  "2gosa7pa2gv", // 2 ** 53 - 1
  "2gosa7pa2gw",
  "zzzzzzzzzzz",
  "zzzzzzzzzzzz",
  "Infinity",
  "NaN",
  "1e309",
];

/** Texts that are not even similar to an id. */
const OTHERS = ["", "0", "no id\n", "null", "__proto__", "x".repeat(1_025), "~".repeat(100_000)];

/** The length of the scope that every id begins with. */
const SCOPE = 14;

/**
 * Creates ids by altering real ones.
 *
 * @param random The source of randomness.
 * @param ids Real ids, of any channels.
 * @param count The number of ids to create.
 */
export function craftedIds(random: Random, ids: readonly string[], count: number): string[] {
  return Array.from({ length: count }, () => {
    if (random.once(10)) return random.of(OTHERS)!;
    let id = random.of(ids)!;
    for (let changes = 1 + random.below(3); changes > 0; changes--) {
      id = random.of(CHANGES)!(id, random, ids);
    }
    return id;
  });
}

const CHANGES: readonly ((id: string, random: Random, ids: readonly string[]) => string)[] = [
  // Cut at either end.
  (id, random) => id.slice(0, random.below(id.length + 1)),
  (id, random) => id.slice(random.below(id.length + 1)),
  // One character replaced or inserted.
  (id, random) => splice(id, random.below(id.length + 1), 1, random.of(LETTERS)!),
  (id, random) => splice(id, random.below(id.length + 1), 0, random.of(LETTERS)!),
  (id) => id.toUpperCase(),
  // One of its numbers replaced.
  (id, random) => {
    const numbers = [...id.slice(SCOPE).matchAll(/[0-9a-z]+/g)];
    const place = random.of(numbers);
    if (!place) return id;
    return splice(id, SCOPE + place.index, place[0].length, random.of(NUMBERS)!);
  },
  // Parts added, repeated, removed, reordered, or taken from another id.
  (id, random) => id + id.slice(SCOPE).repeat(random.below(100)),
  (id, random) => `${id}..${random.of(["", "~", "~1", "-1", id.slice(SCOPE)])}`,
  (id, random) => `${id}~${random.of(["", "1", "5-1", "zzzzzz-1", "5-1~5-1"])}`,
  (id, random) => id.split("..").slice(0, 1 + random.below(3)).join(".."),
  (id) => id.split("..").reverse().join(".."),
  (id, random, ids) => id.slice(0, SCOPE) + random.of(ids)!.slice(SCOPE),
];

function splice(text: string, start: number, count: number, inserted: string): string {
  return text.slice(0, start) + inserted + text.slice(start + count);
}
