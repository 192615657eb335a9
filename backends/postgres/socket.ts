/**
 * Opens the socket of a connection, over TCP or a Unix socket, with or without TLS.
 *
 * The client library can do that too. But it checks a certificate for `localhost` if the host is an
 * IP address, and it destroys the socket below TLS, which ends a process on Node 20.
 *
 * @module
 */

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { silentError } from "../../core/backend/kit/connecting_help.ts";
import type { Pem } from "../../core/backend/kit/tls_files.ts";
import { quote } from "../../core/util/quote.ts";
import { after } from "../../core/util/timer.ts";

/** The address of a server, and how to connect to it. */
export interface Endpoint {
  /** A name or an IP address, or the folder of the Unix socket if it starts with a slash. */
  readonly host: string;
  /** The port, which is also a part of the name of a Unix socket. */
  readonly port: number;
  /** Options for TLS. Without them, or on a Unix socket, TLS is not used. */
  readonly tls?: TlsOptions | undefined;
  /** The time limit for the server to accept the socket, in milliseconds; 0 for none. */
  readonly timeout: number;
}

/** Options for TLS. */
export interface TlsOptions extends Pem {
  /**
   * The checks of the server's certificate: none, that an authority signed it, or also that it is
   * for the host.
   */
  readonly checks: "nothing" | "authority" | "host";
  /** Whether to continue without TLS if the server has none. */
  readonly isOptional?: boolean;
  /** Whether to start with TLS, without asking the server first. */
  readonly isDirect?: boolean;
}

/** The request for TLS: a length, and a number that is not a version of the protocol. */
const REQUEST = new Uint8Array([0, 0, 0, 8, 4, 210, 22, 47]);
/** The answers to it. */
const YES = "S".charCodeAt(0);
const NO = "N".charCodeAt(0);

/**
 * Opens a socket.
 *
 * @param endpoint The server.
 * @param onSocket Called with each socket that must be destroyed to stop it: first the TCP socket,
 * then the TLS socket.
 * @returns Resolves with the socket once it can send bytes of the protocol.
 */
export async function openSocket(
  endpoint: Endpoint,
  onSocket: (socket: Socket) => void,
): Promise<Socket> {
  const { host, port, tls, timeout } = endpoint;
  const isLocal = host.startsWith("/");
  let current: Socket | undefined;
  const adopt = (socket: Socket) => {
    // The caller gets the error from the promise. An error without a listener would end the
    // process.
    onSocket(current = socket.on("error", () => {}));
  };
  const stop = timeout === 0 ? undefined : after(timeout, () => {
    current?.destroy(silenceOf(endpoint));
  });
  try {
    const socket = isLocal
      ? connectTcp({ path: `${host}/.s.PGSQL.${port}` })
      : connectTcp({ host, port });
    adopt(socket);
    await event(socket, "connect");
    if (!tls || isLocal) return socket;
    if (!tls.isDirect && !await isOffered(socket, tls)) return socket;
    return await secured(socket, host, tls, adopt);
  } catch (error) {
    current?.destroy();
    throw error;
  } finally {
    stop?.();
  }
}

/** The error for a server that does not answer. */
export function silenceOf({ host, port, timeout }: Endpoint): Error {
  const server = host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`;
  return silentError({ server, limit: timeout, product: "Postgres" });
}

/** Asks the server whether it has TLS. */
async function isOffered(socket: Socket, { isOptional }: TlsOptions): Promise<boolean> {
  const answer = event<Uint8Array>(socket, "data");
  socket.write(REQUEST);
  const bytes = await answer;
  // More bytes than the answer are not protected, so they could be forged.
  if (bytes.length === 1 && bytes[0] === YES) return true;
  if (bytes.length === 1 && bytes[0] === NO) {
    if (isOptional) return false;
    throw new Error("the server does not offer TLS, use sslmode=disable if that is meant");
  }
  throw new Error("it does not answer as a Postgres server");
}

async function secured(
  socket: Socket,
  host: string,
  { checks, isDirect, ca, cert, key }: TlsOptions,
  adopt: (socket: Socket) => void,
): Promise<Socket> {
  const secure = connectTls({
    socket,
    // The certificate is checked for the host. An IP address cannot be a server name.
    host,
    ...isIP(host) === 0 && { servername: host },
    ...isDirect && { ALPNProtocols: ["postgresql"] },
    ...ca !== undefined && { ca },
    ...cert !== undefined && { cert },
    ...key !== undefined && { key },
    ...checks === "nothing" && { rejectUnauthorized: false },
    ...checks === "authority" && { checkServerIdentity: () => undefined },
  });
  adopt(secure);
  try {
    await event(secure, "secureConnect");
  } catch (error) {
    throw explained(error as Error, host);
  }
  return secure;
}

/** An error of TLS, with advice. */
function explained(error: Error, host: string): Error {
  const code = String((error as { code?: unknown }).code);
  const way = code === "ERR_TLS_CERT_ALTNAME_INVALID"
    ? `the certificate is not for ${quote(host)}: use the name that it is for, or sslmode=verify-ca`
    : /CERT|ISSUER|SIGNATURE|CA_|CRL/.test(code)
    ? "name the authority that signed it with ca=<path of a PEM file>, or use sslmode=require, which checks nothing"
    : undefined;
  if (way === undefined) return error;
  return new Error(`the server's certificate is refused, ${error.message}; ${way}`, {
    cause: error,
  });
}

/** Resolves with the next event. Rejects if the socket fails or closes first. */
function event<Value = void>(socket: Socket, name: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      socket.off(name, onEvent).off("error", onError).off("close", onClose);
      settle();
    };
    const onEvent = (value: Value) => end(() => resolve(value));
    const onError = (error: Error) => end(() => reject(error));
    const onClose = () => end(() => reject(new Error("the server closed the connection")));
    socket.on(name, onEvent).on("error", onError).on("close", onClose);
  });
}
