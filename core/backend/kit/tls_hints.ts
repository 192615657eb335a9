/**
 * Hints for TLS errors: what to change in the URL.
 *
 * @module
 */

/** How a broker is reached with and without TLS. */
export interface TlsHints {
  /** The scheme with TLS, with its default port: `mqtts:// (port 8883)`. */
  readonly secure: string;
  /** The scheme without TLS, with its default port. */
  readonly plain: string;
  /** The client's message if a connection without TLS is closed during the handshake. */
  readonly closed: RegExp;
}

/** Codes of certificates that no known authority has signed. */
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|UNKNOWN_?(?:CA|ISSUER)/i;

/**
 * Advice about an error while connecting, as the end of a sentence.
 *
 * @param error The error of the client.
 * @param isSecure Whether the connection uses TLS.
 * @param hints How the broker is reached.
 * @returns `undefined` if the error is not about TLS.
 */
export function tlsHint(
  error: unknown,
  isSecure: boolean,
  { secure, plain, closed }: TlsHints,
): string | undefined {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const text = `${code} ${message}`;
  if (!isSecure) return closed.test(text) ? `if the port is for TLS, use ${secure}` : undefined;
  if (/WRONG_VERSION|InvalidContentType|EPROTO|before secure TLS connection/i.test(text)) {
    return `the port is not for TLS, use ${plain}, or the port for TLS`;
  }
  if (/ALTNAME|NotValidForName/i.test(text)) {
    return "the certificate is for another host, use a host that it names";
  }
  if (UNTRUSTED.test(text)) {
    return "name the certificate authority of the server with ?ca=";
  }
  if (/CERT_HAS_EXPIRED|Expired/i.test(text)) return "the certificate of the server has expired";
  if (/CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/i.test(text)) {
    return "the server may ask for a certificate of the client, use ?cert= and ?key=";
  }
  return undefined;
}
