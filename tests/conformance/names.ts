/**
 * Channel names with a special meaning for some broker.
 *
 * @module
 */

/** Names that a broker may treat as wildcards or separators, or normalize: at most 30 bytes. */
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

/** The weird names, and a long one. */
export const NAMES: readonly string[] = [...WEIRD, "x".repeat(170)];
