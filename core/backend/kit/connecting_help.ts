/**
 * What to do about a server that refuses a login, or says nothing: told alike on every scheme.
 *
 * @module
 */

import { ConnectionError } from "../errors.ts";

/** A server that says nothing. */
export interface SilentServer {
  /** Its address: `localhost:6379`. */
  readonly server: string;
  /** How long it was waited for, in milliseconds. */
  readonly limit: number;
  /** What should answer there: `Redis`. */
  readonly product: string;
  /** Whether TLS is used; absent if one port serves both. */
  readonly isSecure?: boolean;
}

/** The error for a server that perhaps accepts connections, and does not answer. */
export function silentError({ server, limit, product, isSecure }: SilentServer): ConnectionError {
  const port = isSecure === undefined ? "" : `, or the port is ${isSecure ? "not " : ""}for TLS`;
  return new ConnectionError(
    `${server} did not answer within ${limit / 1_000} s: perhaps it is no ${product} server${port}`,
  );
}

/**
 * The reason of a server that refuses a login, with where a login is written.
 *
 * @param reason What the server says.
 * @param ways Where a login is written, such as `redis://user:password@host`.
 */
export function withLoginHelp(reason: string, ...ways: readonly string[]): string {
  return `${reason.replace(/\.$/, "")}; write the login before the host: ${ways.join(" or ")}`;
}
