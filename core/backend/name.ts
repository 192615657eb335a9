/**
 * Names of channels and patterns: their check, and how error messages show them.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import { Pattern } from "./pattern.ts";

/**
 * Checks the name of a channel.
 *
 * @param what What is done, as it appears in the message.
 * @throws {TypeError} If it cannot be one.
 */
export function checkName(what: string, name: unknown): void {
  if (typeof name !== "string") {
    throw new TypeError(`Cannot ${what}: its name must be a string, it is ${kindOf(name)}`);
  }
  if (name === "") throw new TypeError(`Cannot ${what}: its name is empty`);
  if (!name.isWellFormed()) throw new TypeError(`Cannot ${what}: its name has a lone surrogate`);
}

/** What is subscribed to, or read. */
export type Named = string | readonly string[] | { readonly pattern: string } | Pattern;

/** A target as a message names it. */
export function nameOf(target: Named): string {
  if (typeof target === "string") return `"${target}"`;
  if (target instanceof Pattern) return `pattern "${target}"`;
  return "pattern" in target
    ? `pattern "${target.pattern}"`
    : target.map((name) => `"${name}"`).join(", ");
}
