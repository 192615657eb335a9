/**
 * Connects to one NATS server, with or without TLS, and explains its refusals.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type { ConnectionOptions, TlsOptions } from "@nats-io/transport-node";
import { ConnectionError, reasonOf, RefusedError } from "../../core/backend/errors.ts";
import { silentError, withLoginHelp } from "../../core/backend/kit/connecting_help.ts";
import type { Pem } from "../../core/backend/kit/tls_files.ts";
import { isInstance } from "../../core/util/realm.ts";
import { after } from "../../core/util/timer.ts";
import type { NatsConnection } from "./dial.ts";
import { meaningOf } from "./errors.ts";
import { guard } from "./socket_errors.ts";

/** The core reconnects, and probes connections. The client's own pings are only a safety net. */
const OPTIONS = {
  reconnect: false,
  pingInterval: 10_000,
  maxPingOut: 2,
  timeout: 10_000,
  noAsyncTraces: true,
  // The runtime resolves names when it connects, which needs permission only for the name. The
  // client's own lookup needs permission for the whole network on Deno.
  resolve: false,
} satisfies ConnectionOptions;

/** The settings of a URL for the login and TLS. */
export interface Login {
  /** The user and password, or the token. */
  readonly options: ConnectionOptions;
  /** The text of a credentials file. */
  readonly creds: string | undefined;
  /** Whether the server must have TLS. */
  readonly isAsked: boolean;
  /** The certificates. */
  readonly pem: Pem;
}

/** Parameters of an attempt to connect. */
export interface Connecting {
  /** The client library. */
  readonly library: typeof import("@nats-io/transport-node");
  /** The login. */
  readonly login: Login;
  /** The servers that turned out to have no TLS. */
  readonly plain: Set<string>;
}

/** TLS options of the client. The client passes unknown options to `node:tls`. */
type Tls = TlsOptions & { readonly host?: string; readonly servername?: string };

/**
 * Connects to a server, given as `host:port`.
 *
 * The client checks a certificate against the name of the server, or against `localhost` if there
 * is no name. So the host is passed as it is written in the URL. The client then requires TLS, so a
 * server without TLS is tried twice.
 *
 * @throws {RefusedError} If the server refuses.
 */
export async function connectTo(server: string, connecting: Connecting): Promise<NatsConnection> {
  const { plain } = connecting;
  if (plain.has(server)) {
    try {
      return await dial(server, null, connecting);
    } catch (error) {
      // The client fails without settings for TLS. The failure shows that the server now has TLS.
      const { cause } = Object(error) as Error;
      if (!(isInstance(cause, "TypeError"))) throw explained(error, server, connecting);
      plain.delete(server);
    }
  }
  try {
    return await dial(server, tlsOf(server, connecting), connecting);
  } catch (error) {
    if (connecting.login.isAsked || !HAS_NO_TLS.test(reasonOf(error))) {
      throw explained(error, server, connecting);
    }
  }
  plain.add(server);
  try {
    return await connectTo(server, connecting);
  } catch (error) {
    // A server with a limit on connections may still count the first one.
    if (!CLOSED.test(reasonOf(error))) throw error;
    await new Promise<void>((resolve) => after(PAUSE, resolve));
    return await connectTo(server, connecting);
  }
}

function dial(
  server: string,
  tls: Tls | null,
  { library, login: { options, creds } }: Connecting,
): Promise<NatsConnection> {
  const authenticator = creds === undefined
    ? undefined
    : library.credsAuthenticator(Buffer.from(creds));
  return guard(() =>
    library.connect({
      ...OPTIONS,
      ...options,
      ...authenticator && { authenticator },
      servers: [server],
      tls: tls as TlsOptions | null,
    })
  );
}

function tlsOf(server: string, { login: { pem } }: Connecting): Tls {
  const host = server.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  return { ...pem, ...isIP(host) ? { host } : { servername: host } };
}

const HAS_NO_TLS = /does not support 'tls'/;
const CLOSED = /write after end|ECONNRESET|EPIPE/i;
/** The pause before another attempt at a server that has closed the connection, in milliseconds. */
const PAUSE = 100;

/** Advice about errors, by their message and code on each runtime. */
const WAYS_OUT: readonly (readonly [RegExp, string])[] = [
  [HAS_NO_TLS, "the server has no TLS, leave out ?tls=, ?ca=, ?cert= and ?key="],
  [
    /altname|NotValidForName/i,
    "the server's certificate is for another host, use one that it names",
  ],
  [
    /self.signed|issuer|unable to (get|verify)|SELF_SIGNED|UNABLE_TO/i,
    "the server's certificate is not signed by an authority that is trusted, give ?ca=, the path of a PEM file",
  ],
  [
    /certificate.?required|bad.?certificate/i,
    "the server asks for a certificate, give ?cert= and ?key=",
  ],
  [/TLS Required/i, "the server wants TLS, add ?tls=true"],
  // The client drops the reason that the server sent before it closed the connection.
  [
    CLOSED,
    "the server closed the connection: it has too many connections (max_connections), or it stops",
  ],
];

function explained(
  error: unknown,
  server: string,
  { login: { creds, pem, isAsked } }: Connecting,
): Error {
  if (isInstance(error, "TimeoutError")) {
    return silentError({ server, limit: OPTIONS.timeout, product: "NATS", isSecure: isAsked });
  }
  const reason = reasonOf(error);
  const { code = "" } = Object(error) as { readonly code?: string };
  if (creds !== undefined && /unable to parse credentials/i.test(reason)) {
    return new RefusedError("the file of ?creds= is not a credentials file", { cause: error });
  }
  const wayOut = WAYS_OUT.find(([pattern]) => pattern.test(`${reason} ${code}`))?.[1];
  // A server that requires a certificate may close the connection before its reason is read.
  const orCertificate = CLOSED.test(`${reason} ${code}`) && pem.ca && !pem.cert
    ? ", or it asks for a certificate, give ?cert= and ?key="
    : "";
  if (/^authorization violation/i.test(reason)) {
    const ways = ["nats://user:password@host", "nats://token@host", "give ?creds="] as const;
    return new RefusedError(withLoginHelp(reason, ...ways), { cause: error });
  }
  const message = wayOut === undefined ? reason : `${wayOut}${orCertificate} (${reason})`;
  const meaning = meaningOf(error);
  return meaning === "refused" || meaning === "fatal" || meaning === "renewed"
    ? new RefusedError(message, { cause: error })
    : new ConnectionError(message, { cause: error });
}
