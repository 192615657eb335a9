/**
 * The connection settings: those of a URL, or a client that the user gives.
 *
 * @module
 */

import type { Options, Sql } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";

/** The settings of the client library. */
export type Settings = Options<Record<never, never>>;

/** Options for the connection to a Postgres server. */
export interface ConnectionOptions extends SourceOptions {
  /**
   * A client of the library `postgres`, to be used in place of connections of the backend's own:
   * `postgres(url)`. It is never closed. `url` then only appears in messages.
   *
   * @default {connections of its own}
   */
  readonly sql?: Sql | undefined;
  /**
   * The use of TLS, with libpq's meaning.
   *
   * @default {"disable"}
   */
  readonly sslmode?: "disable" | "prefer" | "require" | "verify-full" | undefined;
  /**
   * The path of a PEM file with the certificate authorities to trust. Implies
   * `sslmode: "verify-full"`.
   *
   * @default {those of the runtime}
   */
  readonly ca?: string | undefined;
  /** The path of a PEM file with the client's own certificate. Implies `sslmode: "verify-full"`. */
  readonly cert?: string | undefined;
  /** The path of a PEM file with the key of `cert`. */
  readonly key?: string | undefined;
}

/** The parameters that are options of the connection. */
export function connectionParameters(
  { sslmode, ca, cert, key }: ConnectionOptions,
): Record<string, string | undefined> {
  return { sslmode, ca, cert, key };
}

/**
 * Checks a client that the user gives.
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
 * Refuses parameters that have no effect on a client that the user gives.
 *
 * @throws {TypeError} If the address has one.
 */
export function checkUnused({ parameters }: Address, names: readonly string[] = []): void {
  const name = ["sslmode", "ca", "cert", "key", ...names].find((name) => parameters.has(name));
  if (name !== undefined) {
    throw new TypeError(`Cannot use parameter "${name}": a client is given, which has its own`);
  }
}

/**
 * The settings of a URL.
 *
 * @throws {TypeError} If it names several hosts, or a file that cannot be read.
 */
export async function settingsOf(address: Address): Promise<Settings> {
  if (address.hosts.length > 1) {
    throw new TypeError(
      `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
    );
  }
  const { hostname = "localhost", port = 5432 } = address.hosts[0] ?? {};
  const ssl = address.choice("sslmode", ["disable", "prefer", "require", "verify-full"]);
  const isChecked = pemParameters(address).length > 0;
  return {
    host: hostname,
    port,
    ssl: isChecked ? await readPem(address) : ssl === undefined || ssl === "disable" ? false : ssl,
    ...address.path !== "" && { database: address.path },
    ...address.username !== undefined && { username: address.username },
    ...address.password !== undefined && { password: address.password },
  };
}

/** The server and the database, as they appear in messages. */
export function shownAs(name: string, address: Address): string {
  return `${name}://${address.servers(5432)[0]}${address.path && `/${address.path}`}`;
}
