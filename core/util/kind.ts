/**
 * The type of a value in words, for error messages: "a number", "null", "an Object".
 *
 * @module
 */

/** The type of a value in words. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  // The value's own property is not used, since a received message may have one of this name.
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (typeof name !== "string" || name === "" || name.length > 100) return "an Object";
  return `${/^[AEIO]/.test(name) ? "an" : "a"} ${name}`;
}
