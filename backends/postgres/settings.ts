/**
 * The options of the connection: parameters of the URL, or the user's client.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import type { Names } from "../../core/util/known_options.ts";
import { quote } from "../../core/util/quote.ts";
import { CONNECTION_PARAMETERS, type SslMode } from "./url.ts";

export type { SslMode } from "./url.ts";

/** Options for the connection to a Postgres server. */
export interface ConnectionOptions extends SourceOptions {
  /**
   * A client of the library `postgres` to use: `postgres(url)`. It is never closed. `url` is then
   * only shown in messages.
   *
   * @default {connections of its own}
   */
  readonly sql?: Sql | undefined;
  /**
   * The use of TLS, with libpq's meaning. `"verify-full"` checks that a trusted authority signed
   * the server's certificate, and that it is for the host in the URL. `"verify-ca"` checks only the
   * former. `"require"` checks nothing, and `"no-verify"` is another name for it. `"prefer"` and
   * `"allow"` continue without TLS if the server has none.
   *
   * @default {"disable"}
   */
  readonly sslmode?: SslMode | undefined;
  /**
   * The path of a PEM file with the certificate authorities to trust. Implies
   * `sslmode: "verify-full"`; with `"require"`, it means `"verify-ca"`.
   *
   * @default {those of the runtime}
   */
  readonly ca?: string | undefined;
  /** The path of a PEM file with the client's own certificate. Implies `sslmode: "verify-full"`. */
  readonly cert?: string | undefined;
  /** The path of a PEM file with the key of `cert`. */
  readonly key?: string | undefined;
}

/** The names of `ConnectionOptions`. */
export const CONNECTION_OPTIONS: Names<ConnectionOptions> = {
  url: true,
  sql: true,
  sslmode: true,
  ca: true,
  cert: true,
  key: true,
};

/** The options of the connection as URL parameters. */
export function connectionParameters(
  { sslmode, ca, cert, key }: ConnectionOptions,
): Record<string, string | undefined> {
  return { sslmode, ca, cert, key };
}

/**
 * Checks a client that the user passes.
 *
 * @throws {TypeError} If it is not a client of the library `postgres`.
 */
export function checkSql(sql: unknown): void {
  checkClient(sql, {
    wanted: "a client of the library postgres, postgres(url)",
    methods: ["unsafe", "listen", "notify"],
    mistaken: [
      { name: "a promise, await it first", has: ["then"] },
      { name: "the function postgres itself, call it", has: ["toCamel", "fromCamel"] },
      { name: "a Pool of pg", has: ["query", "connect", "totalCount"] },
      { name: "a Client of pg", has: ["query", "connect", "escapeIdentifier"] },
      { name: "the client of a transaction", has: ["savepoint"] },
      { name: "a reserved connection", has: ["release"] },
    ],
  });
}

/**
 * Rejects parameters that have no effect on the user's client.
 *
 * @throws {TypeError} If the address has such a parameter.
 */
export function checkUnused({ parameters }: Address, names: readonly string[] = []): void {
  const name = [...CONNECTION_PARAMETERS, ...names].find((name) => parameters.has(name));
  if (name !== undefined) {
    throw new TypeError(
      `Cannot use parameter ${quote(name)}: a client is given, which has its own`,
    );
  }
}
