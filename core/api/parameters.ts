/**
 * Checks the names of URL parameters.
 *
 * @module
 */

import type { Address } from "../backend/address.ts";
import { suggestion } from "../util/nearest.ts";
import { quote } from "../util/quote.ts";

/** The parameters of a scheme. */
export interface Parameters {
  /** Parameters that have a meaning. */
  readonly known: readonly string[];
  /** Parameters of other clients' URLs that are accepted, and ignored. */
  readonly ignored: readonly string[];
  /** Advice about other parameters, by name. */
  readonly hints: Readonly<Record<string, string>>;
}

/**
 * Rejects unknown parameters, so that a misspelled one is not ignored.
 *
 * @throws {TypeError} If a parameter is unknown. The message has advice, or the nearest known name.
 */
export function checkParameters(address: Address, { known, ignored, hints }: Parameters): void {
  for (const name of address.parameters.keys()) {
    if (known.includes(name) || ignored.includes(name)) continue;
    const help = Object.hasOwn(hints, name) ? hints[name] : suggestion(name, known, "parameters");
    throw new TypeError(
      `Cannot open "${address}": unknown parameter ${quote(name)}, ${help}`,
    );
  }
}
