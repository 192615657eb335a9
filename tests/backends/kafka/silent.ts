/** A broker that says nothing. */

/** What is said of a broker that closes the connection without a word. */
export function silent(port: number): string {
  return `127.0.0.1:${port} closed the connection, perhaps for want of TLS or a password`;
}
