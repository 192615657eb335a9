/**
 * Names of channels and patterns: validation, and display in error messages.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import { isControlChannel } from "./control_channel.ts";
import { Pattern } from "./pattern.ts";

/**
 * Validates the name of a channel.
 *
 * @param what The action, as shown in the message: `subscribe to channel`.
 * @throws {TypeError} If the name is not a string, is empty, or has a lone surrogate.
 */
export function checkName(what: string, name: unknown): void {
  if (typeof name !== "string") {
    throw new TypeError(`Cannot ${what}: its name must be a string, it is ${kindOf(name)}`);
  }
  if (name === "") throw new TypeError(`Cannot ${what}: its name is empty`);
  if (!name.isWellFormed()) throw new TypeError(`Cannot ${what}: its name has a lone surrogate`);
  if (isControlChannel(name)) {
    throw new TypeError(`Cannot ${what} "${name}": the library reserves names that end like that`);
  }
}

/** The target of a subscription or of a read. */
export type Named = string | readonly string[] | { readonly pattern: string } | Pattern;

/** A target as shown in messages. */
export function nameOf(target: Named): string {
  if (typeof target === "string") return `"${target}"`;
  if (target instanceof Pattern) return `pattern "${target}"`;
  return "pattern" in target
    ? `pattern "${target.pattern}"`
    : target.map((name) => `"${name}"`).join(", ");
}
