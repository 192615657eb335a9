/**
 * The name of the schema of a log.
 *
 * @module
 */

import type { Address } from "../../../core/backend/address.ts";
import { quote } from "../../../core/util/quote.ts";

/** The default schema of a log. */
export const SCHEMA = "broadcaster";

/** The longest name that Postgres does not truncate, in bytes. */
const LIMIT = 63;
/** Characters that would end a quoted name, a literal or the body of a function. */
const SPECIAL = /["'\\$\p{Cc}]/u;

/**
 * The schema that an address names.
 *
 * @throws {TypeError} If the text cannot be the name of a schema.
 */
export function schemaOf({ parameters }: Address): string {
  return checkSchema(parameters.get("schema") ?? SCHEMA);
}

/**
 * Checks the name of a schema, and returns it.
 *
 * @throws {TypeError} If the name is empty, longer than 63 bytes, or reserved by Postgres, or if it
 * has a quote, a backslash, a dollar sign or a control character.
 */
export function checkSchema(name: string): string {
  const bytes = new TextEncoder().encode(name).length;
  const reason = bytes === 0
    ? "the name is empty"
    : bytes > LIMIT
    ? `the name has ${bytes} bytes, the limit is ${LIMIT}`
    : SPECIAL.test(name)
    ? "the name has a quote, a backslash, a dollar sign or a control character"
    : /^pg_|^information_schema$/.test(name)
    ? "the name is reserved by Postgres"
    : undefined;
  if (reason === undefined) return name;
  throw new TypeError(`Cannot use schema ${quote(name)}: ${reason}`);
}

/** Replaces the default schema in a statement: `broadcaster.log` becomes `"events".log`. */
export function inSchema(schema: string, statement: string): string {
  return statement.replaceAll(`${SCHEMA}.`, `"${schema}".`);
}

/**
 * A statement on the log of a schema. Pgpool-II would send one that only reads to a standby, which
 * may lag.
 */
export function onPrimary(schema: string, statement: string): string {
  return `/*NO LOAD BALANCE*/ ${inSchema(schema, statement)}`;
}
