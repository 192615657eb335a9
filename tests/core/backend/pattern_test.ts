/** What a pattern stands for. */

import { assertEquals } from "@std/assert";
import { Pattern } from "../../../core/backend/pattern.ts";
import { Random } from "../../conformance/random.ts";

const CASES: [pattern: string, matching: string[], others: string[]][] = [
  ["*", ["", "a", "a.b/c\n"], []],
  ["a*", ["a", "ab", "a*"], ["", "ba"]],
  ["*a", ["a", "ba", "aa"], ["", "ab"]],
  ["a*a", ["aa", "aba"], ["a", "ab"]],
  ["a**a", ["aa", "aba"], ["a"]],
  ["a*b*c", ["abc", "a.b.c", "abbcc", "abcbc"], ["acb", "ab", "abca"]],
  ["*ab*ab*", ["abab", "xabyabz"], ["ab", "aab"]],
  ["a.c", ["a.c"], ["abc", "a.cc"]],
  ["[a]?", ["[a]?"], ["ab", "a"]],
  ["", [""], ["a"]],
];

for (const [pattern, matching, others] of CASES) {
  Deno.test(`a pattern ${JSON.stringify(pattern)} stands for what it says`, () => {
    for (const name of matching) {
      assertEquals([name, new Pattern(pattern).matches(name)], [name, true]);
    }
    for (const name of others) {
      assertEquals([name, new Pattern(pattern).matches(name)], [name, false]);
    }
  });
}

Deno.test("a pattern matches what a regular expression of it does", () => {
  const random = new Random(7);
  const word = (letters: string) =>
    Array.from({ length: random.below(9) }, () => random.of([...letters])).join("");
  for (let count = 0; count < 20_000; count++) {
    const text = word("ab.*");
    const expected = new RegExp(
      `^${text.split("*").map((piece) => piece.replaceAll(".", "\\.")).join(".*")}$`,
    );
    const name = word("ab.");
    assertEquals(
      [text, name, new Pattern(text).matches(name)],
      [text, name, expected.test(name)],
    );
  }
});

Deno.test("a pattern of many stars does not take long to say no", () => {
  const started = performance.now();
  assertEquals(new Pattern("*a".repeat(2_000) + "b").matches("a".repeat(20_000)), false);
  assertEquals(performance.now() - started < 10_000, true);
});

Deno.test("a long name, or a pattern made to be slow, takes no time", () => {
  const name = "a".repeat(2_048);
  const started = performance.now();
  for (const piece of [1, 10, 100, 500, 1_000]) {
    const pattern = new Pattern(`*${"a".repeat(piece)}b*`.repeat(Math.floor(2_048 / (piece + 3))));
    for (let count = 0; count < 10; count++) assertEquals(pattern.matches(name), false);
  }
  // Longer than the name of any channel.
  const megabyte = new Pattern(`*${"a".repeat(500_000)}b*`);
  assertEquals(megabyte.matches("a".repeat(1_000_000)), false);
  assertEquals(new Pattern("*").matches("a".repeat(1_000_000)), false);
  assertEquals(performance.now() - started < 1_000, true);
});
