/**
 * What may follow in a name, of all characters that a topic has. Of those that differ only in `.`
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
