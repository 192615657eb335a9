/**
 * The connection settings of a Postgres URL.
 *
 * @module
 */

import type { Options } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";

/** What the client library is told. */
export type Settings = Options<Record<never, never>>;

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
