/**
 * Prepares a log for use: inspects it, and creates missing objects.
 *
 * @module
 */

import { RefusedError } from "../../../core/backend/errors.ts";
import { quote } from "../../../core/util/quote.ts";
import { isRace } from "../errors.ts";
import type { Statements } from "../statement.ts";
import type { Query } from "./database.ts";
import { inspect } from "./inspection.ts";
import { migration } from "./schema.ts";
import { onPrimary } from "./schema_name.ts";

/** The settings of a log. */
export interface LogSettings {
  /** The schema of the log. */
  readonly schema: string;
  /** The retention of the URL in milliseconds, if any; 0 for forever. */
  readonly retention: number | undefined;
}

/** The number of attempts while other sessions create the same objects. */
const ATTEMPTS = 10;

/**
 * The transaction must see what others have committed, whatever the client's isolation level is.
 * The transaction waits for others that create the same objects.
 */
const TRANSACTION =
  `set transaction isolation level read committed; set local lock_timeout = '9s';`;

const MAY_RETAIN = "select has_column_privilege('broadcaster.meta', 'retention', 'UPDATE')::text";
const RETAIN = `update broadcaster.meta set retention = $1::bigint where retention <> $1::bigint`;

/**
 * Prepares a log for use. A role that may not create objects can use existing ones.
 *
 * @throws {RefusedError} If the log must not be used, or cannot be created.
 */
export async function install(
  statements: Statements,
  { schema, retention }: LogSettings,
): Promise<void> {
  const query: Query = (text, values = []) => statements.query(onPrimary(schema, text), values);
  let isCreated = false;
  for (let attempt = 1;; attempt++) {
    const missing = await inspect(query, schema);
    if (missing === undefined) break;
    if (isCreated) {
      throw new RefusedError(`the log in schema ${quote(schema)} lacks parts (${missing})`);
    }
    try {
      await statements.run(TRANSACTION + migration(schema));
      isCreated = true;
    } catch (error) {
      if (isRace(error) && attempt < ATTEMPTS) continue;
      if (!(error instanceof RefusedError)) throw error;
      throw new RefusedError(
        `the log in schema ${
          quote(schema)
        } lacks parts (${missing}), and this role cannot create them, connect as its owner first or run migration(): ${error.message}`,
        { cause: error },
      );
    }
  }
  if (retention === undefined) return;
  const [may] = await query(MAY_RETAIN);
  if (may?.[0] === "true") await query(RETAIN, [String(retention)]);
}
