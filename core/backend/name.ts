/**
 * Names of channels and patterns: validation, and display in error messages.
 *
 * @module
 */

import { kindOf } from "../util/kind.ts";
import { quote } from "../util/quote.ts";
import { isControlChannel } from "./control_channel.ts";
import type { Pattern } from "./pattern.ts";

/** The maximum length of a name or a pattern in bytes. Many brokers allow less. */
export const LONGEST_NAME = 2_048;

/** The number of names that a message shows. */
const SHOWN = 8;

/**
 * Validates the name of a channel, or a pattern.
 *
 * @param what The action, as shown in the message: `subscribe to channel`.
 * @throws {TypeError} If the name is not a string, is empty, or has a lone surrogate.
 * @throws {RangeError} If the name has more than 2,048 bytes in UTF-8.
 */
export function checkName(what: string, name: unknown): void {
  if (typeof name !== "string") {
    throw new TypeError(`Cannot ${what}: its name must be a string, it is ${kindOf(name)}`);
  }
  if (name === "") throw new TypeError(`Cannot ${what}: its name is empty`);
  if (name.length * 3 > LONGEST_NAME) checkLength(what, name);
  if (!name.isWellFormed()) throw new TypeError(`Cannot ${what}: its name has a lone surrogate`);
  if (isControlChannel(name)) {
    throw new TypeError(
      `Cannot ${what} ${nameOf(name)}: the library reserves names that end like that`,
    );
  }
}

function checkLength(what: string, name: string): void {
  const { length } = new TextEncoder().encode(name);
  if (length <= LONGEST_NAME) return;
  throw new RangeError(
    `Cannot ${what} ${nameOf(name)}: its name has ${length} bytes, the limit is ${LONGEST_NAME}`,
  );
}

/** The target of a subscription or of a read. */
export type Named = string | readonly string[] | { readonly pattern: string } | Pattern;

/**
 * A target as shown in messages: in quotes, without control characters, and cut to 100 characters.
 */
export function nameOf(target: Named): string {
  if (typeof target === "string") return quote(target);
  if ("pattern" in target) return `pattern ${quote(target.pattern)}`;
  if ("text" in target) return `pattern ${quote(target.text)}`;
  const names = target.slice(0, SHOWN).map(quote).join(", ");
  return target.length > SHOWN ? `${names} and ${target.length - SHOWN} more` : names;
}
