/**
 * Rejects unknown options. Otherwise a misspelled option would silently have no effect.
 *
 * @module
 */

import { suggestion } from "./nearest.ts";
import { quote } from "./quote.ts";

/** The names of all options. A missing or additional name is a compile error. */
export type Names<Options> = Readonly<Record<keyof Options, true>>;

/**
 * Rejects unknown options. An `undefined` option counts as not given.
 *
 * @param what The action, as it appears in the message.
 * @param given The options.
 * @param known Their names.
 * @throws {TypeError} If an option is unknown. The message has the nearest known name.
 */
export function checkKnown<Options extends object>(
  what: string,
  given: Options,
  known: Names<Options>,
): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(known, name) || given[name as keyof Options] === undefined) continue;
    throw new TypeError(
      `Cannot ${what}: unknown option ${quote(name)}, ${
        suggestion(name, Object.keys(known), "options")
      }`,
    );
  }
}
