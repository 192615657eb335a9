/**
 * The version of this package, as `broadcaster --version` shows it.
 *
 * @module
 */

/** The same version as in `deno.json`. */
export const VERSION = "0.1.0";
