/**
 * Whether a connection uses TLS, for `describe()`.
 *
 * @module
 */

/**
 * The version of TLS of a socket, such as `TLSv1.3`, or `no`.
 *
 * @param socket A socket of `node:net` or `node:tls`.
 */
export function tlsVersionOf(socket: unknown): string {
  const { encrypted, getProtocol } = Object(socket) as {
    readonly encrypted?: boolean;
    readonly getProtocol?: () => string | null;
  };
  if (typeof getProtocol === "function") return getProtocol.call(socket) ?? "yes";
  return encrypted ? "yes" : "no";
}
