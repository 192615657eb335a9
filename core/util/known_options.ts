/**
 * Refuses options that are not known: a misspelled one would have no effect, and nobody would notice.
 *
 * @module
 */

import { suggestion } from "./nearest.ts";
import { quote } from "./quote.ts";

/** The names of all options: a type with one more, or one less, is an error of the compiler. */
export type Names<Options> = Readonly<Record<keyof Options, true>>;

/**
 * Refuses options that are not known. One that is `undefined` counts as not given.
 *
 * @param what The action, as it appears in the message.
 * @param given The options.
 * @param known Their names.
 * @throws {TypeError} If one is not known. The message has the nearest known name.
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
