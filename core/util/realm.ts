/**
 * Checks the type of a value from any realm. Test runners such as Jest, and `node:vm`, have their
 * own classes, so `instanceof` is false for their promises, bytes and dates.
 *
 * @module
 */

/** Returns `true` for promises, and for everything else that has a `then()`. */
export function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  if (value === null || typeof value !== "object" && typeof value !== "function") return false;
  return typeof (value as Partial<PromiseLike<Value>>).then === "function";
}

/** Returns `true` for a `Uint8Array`, and so for a `Buffer`. */
export function isBytes(value: unknown): value is Uint8Array {
  return ArrayBuffer.isView(value) && tagOf(value) === "Uint8Array";
}

/** Returns `true` for a `Date`, valid or not. */
export function isDate(value: object): value is Date {
  return tagOf(value) === "Date";
}

/** Returns `true` for an object literal, and for an object without a prototype. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** Returns `true` for an instance of a class of this name, or of one derived from it. */
export function isInstance(value: unknown, name: string): value is object {
  for (let type = value; typeof type === "object" && type !== null;) {
    type = Object.getPrototypeOf(type);
    if ((type as object | null)?.constructor?.name === name) return true;
  }
  return false;
}

/** The name of the built-in class of an object. */
export function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}
