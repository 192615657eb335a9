/**
 * The type of a value in words, for error messages: "a number", "null", "an Object".
 *
 * @module
 */

/** The type of a value in words. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const name = value.constructor?.name ?? "Object";
  return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}
