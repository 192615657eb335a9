/**
 * Channel names that brokers may take for something else.
 *
 * @module
 */

/** What a broker may take for wildcards, separators or nothing at all: 30 bytes at most. */
export const WEIRD: readonly string[] = [
  "..",
  ".a.",
  "a*b",
  "a>b",
  "a#b",
  "a+b",
  "a/b/",
  "//",
  "a b",
  "a\nb",
  "a\r\nb",
  "ab",
  "a%0Ab",
  `'"\``,
  "[a]?\\",
  "%_",
  "#",
  ">",
  "+",
  "*",
  "🎉",
  "é".repeat(15),
];

/** Those, and a long one. */
export const NAMES: readonly string[] = [...WEIRD, "x".repeat(170)];
