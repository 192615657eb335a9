/**
 * Error texts for a server that refuses a login, or does not answer. All schemes share them.
 *
 * @module
 */

import { ConnectionError } from "../errors.ts";

/** A server that does not answer. */
export interface SilentServer {
  /** The address of the server: `localhost:6379`. */
  readonly server: string;
  /** How long the client waited, in milliseconds. */
  readonly limit: number;
  /** The product that should answer there: `Redis`. */
  readonly product: string;
  /** Whether TLS is used; absent if one port serves both. */
  readonly isSecure?: boolean;
}

/** The error for a server that may accept connections, but does not answer. */
export function silentError({ server, limit, product, isSecure }: SilentServer): ConnectionError {
  const port = isSecure === undefined ? "" : `, or the port is ${isSecure ? "not " : ""}for TLS`;
  return new ConnectionError(
    `${server} did not answer within ${limit / 1_000} s: perhaps it is no ${product} server${port}`,
  );
}

/**
 * The reason why a server refuses a login, with a hint where to write a login.
 *
 * @param reason The server's message.
 * @param ways The places for a login, such as `redis://user:password@host`.
 */
export function withLoginHelp(reason: string, ...ways: readonly string[]): string {
  return `${reason.replace(/\.$/, "")}; write the login before the host: ${ways.join(" or ")}`;
}
