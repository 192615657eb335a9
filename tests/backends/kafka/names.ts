/**
 * Ends of names, with all characters that a topic may have. Of those that differ only in `.`
 * and `_` brokers take one.
 */
export const NAMES: readonly string[] = [
  "-",
  "..",
  "_",
  ".a.",
  "-_",
  "A",
  "a",
  "9",
  "x".repeat(180),
];
