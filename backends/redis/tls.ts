/**
 * Advice about a Redis connection that could not be opened, perhaps because of TLS.
 *
 * @module
 */

/** Nobody listens, the name is unknown, or the path of a socket does not exist. */
const AWAY = /^(ECONNREFUSED|ENOTFOUND|EAI_\w+|E\w+UNREACH|EACCES|EPERM|ENOENT)$/;
/** The server's certificate authority is unknown. */
const UNTRUSTED = /SELF_SIGNED|ISSUER|VERIFY_LEAF|INVALID_CA/;
/** The server is silent, or does not answer with TLS. */
const NO_TLS = /^(ECONNRESET|EPIPE|EPROTO|ETIMEDOUT|ERR_SSL_(WRONG_VERSION|PACKET)\w*)$/;

/** Creates an error with a code, like an error of a socket. */
export function socketError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/**
 * The error for a connection that could not be opened, with advice.
 *
 * @param error The error of the socket.
 * @param isTls Whether the connection used TLS.
 */
export function withTlsHint(error: unknown, isTls: boolean): unknown {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const hint = typeof code === "string" && !AWAY.test(code) ? hintOf(code, isTls) : undefined;
  return hint === undefined ? error : new Error(`${message}${hint}`, { cause: error });
}

function hintOf(code: string, isTls: boolean): string | undefined {
  if (!isTls) {
    return ", perhaps its number of clients is exhausted, or it expects TLS: use rediss:// or " +
      "rediss-stream://";
  }
  if (UNTRUSTED.test(code)) return ", pass the file of its certificate authority as ?ca=";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return ", connect to a name that it is for";
  return NO_TLS.test(code)
    ? ", perhaps this port is not for TLS: use redis:// or redis-stream://, or its other port"
    : undefined;
}
