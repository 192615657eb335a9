/** A broker that says nothing. */

/** The message for a broker that closes the connection without an answer. */
export function silent(port: number): string {
  return `127.0.0.1:${port} closed the connection, perhaps for want of TLS or a password`;
}
