/**
 * Connects to an AMQP server, or uses the user's connection.
 *
 * @module
 */

import type { Address, Host } from "../../core/backend/address.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { silentError, withLoginHelp } from "../../core/backend/kit/connecting_help.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { tlsHint, type TlsHints } from "../../core/backend/kit/tls_hints.ts";
import type { Names } from "../../core/util/known_options.ts";
import { quote } from "../../core/util/quote.ts";
import { codeOf, explain } from "./errors.ts";
import { Link } from "./link.ts";
import { connectionNames, wishesOf } from "./parameters.ts";

/** The limit for connecting, in milliseconds. */
const LIMIT = 10_000;
/** The heartbeat interval, in seconds. */
const HEARTBEAT = 10;

/** A connection of amqplib, a `ChannelModel`, as `connect()` returns it. */
export type AmqpConnection = Awaited<ReturnType<(typeof import("amqplib"))["connect"]>>;

/** Options for the connection to a server. */
export interface ConnectionOptions extends SourceOptions {
  /**
   * A connection of amqplib to use: `await connect(url)`. The backend opens channels on it, and
   * never closes it. The server of `url` is then only shown in messages.
   *
   * @default {the backend opens its own}
   */
  readonly client?: AmqpConnection | undefined;
  /**
   * The path of a PEM file with the certificate authorities to trust. Implies TLS.
   *
   * @default {those of the runtime}
   */
  readonly ca?: string | undefined;
  /** The path of a PEM file with the client's own certificate. Implies TLS. */
  readonly cert?: string | undefined;
  /** The path of a PEM file with the key of `cert`. Implies TLS. */
  readonly key?: string | undefined;
  /**
   * The heartbeat interval, in seconds. 0 disables heartbeats.
   *
   * @default {10}
   */
  readonly heartbeat?: number | undefined;
  /**
   * The size of the largest frame, in bytes, at least 4,096. The headers of a message must fit into
   * one frame.
   *
   * @default {131072}
   */
  readonly frameMax?: number | undefined;
  /**
   * The number of AMQP channels that a connection may have. 0 means the limit of the server.
   *
   * @default {0}
   */
  readonly channelMax?: number | undefined;
}

/** The names of `ConnectionOptions`. */
export const CONNECTION_OPTIONS: Names<ConnectionOptions> = {
  url: true,
  client: true,
  ca: true,
  cert: true,
  key: true,
  heartbeat: true,
  frameMax: true,
  channelMax: true,
};

/** The options of the connection as URL parameters. */
export function connectionParameters(
  { ca, cert, key, heartbeat, frameMax, channelMax }: ConnectionOptions,
): Record<string, string | number | undefined> {
  return { ca, cert, key, heartbeat, frameMax, channelMax };
}

/**
 * Checks a connection that the user passes.
 *
 * @throws {TypeError} If it is not a connection of amqplib, or if the address has parameters that
 * have no effect on it.
 */
export function checkConnection(client: unknown, address: Address): void {
  checkClient(client, {
    wanted: "a connection of amqplib, await connect(url)",
    methods: ["createChannel", "createConfirmChannel", "close", "on", "off"],
    mistaken: [
      { name: "a promise, await it first", has: ["then"] },
      { name: "a channel, give its connection", has: ["assertQueue", "consume"] },
      {
        name: "a connection that recovers by itself, connect without the option recovery",
        has: ["waitForConnect"],
      },
      { name: "the module amqplib, call its connect()", has: ["connect", "credentials"] },
      { name: "a manager of amqp-connection-manager", has: ["createChannel", "reconnect"] },
      { name: "a connection of rabbitmq-client", has: ["createConsumer", "createPublisher"] },
      ...isOfCallbacks(client)
        ? [{ name: "a connection of amqplib/callback_api", has: ["createChannel"] }]
        : [],
    ],
  });
  const [name] = connectionNames(address);
  if (name !== undefined) {
    throw new TypeError(
      `Cannot use parameter ${quote(name)}: a client is given, which has its own`,
    );
  }
}

/**
 * Whether the argument is a connection of amqplib's callback API, which has the same method names.
 */
function isOfCallbacks(given: unknown): boolean {
  const { close, createChannel } = Object(given) as Record<string, unknown>;
  return typeof close === "function" && close.length === 1 &&
    typeof createChannel === "function" && createChannel.length >= 1;
}

/** The server of a backend, and a function that connects to it. */
export interface Dial {
  /** The server's address, as shown in error messages. */
  readonly address: string;
  /** Whether the user's connection is used for everything. */
  readonly isShared: boolean;
  /** Connects. `prepare` runs before anything is published, for example to create the exchange. */
  readonly connect: (prepare?: (link: Link) => Promise<void>) => Promise<Link>;
}

/** The schemes and ports, for TLS errors. */
const TLS: TlsHints = {
  secure: "amqps:// (port 5671)",
  plain: "amqp:// (port 5672)",
  closed: /Socket closed abruptly|ECONNRESET|Invalid frame/,
};

/**
 * Creates a `Dial` for the server of a URL, or for the user's connection.
 *
 * @param factory The name of the backend's factory, for the message if amqplib is missing.
 */
export async function dialOf(
  address: Address,
  factory: string,
  client: AmqpConnection | undefined,
): Promise<Dial> {
  if (client !== undefined) return borrow(address, client);
  const wishes = wishesOf(address);
  const { vhost, heartbeat = HEARTBEAT, frameMax, channelMax, connectTimeout = LIMIT } = wishes;
  const { hostname = "localhost", port } = hostOf(address);
  const isSecure = address.scheme.startsWith("amqps") || pemParameters(address).length > 0;
  const { username = "guest", password = "guest" } = address;
  const { connect, credentials } = await importClient<typeof import("amqplib")>(
    "amqplib",
    `${factory}({ client })`,
  );
  const standard = isSecure ? 5671 : 5672;
  const server = address.servers(standard)[0]!;
  const login = wishes.mechanism === "external"
    ? credentials.external()
    : credentials[wishes.mechanism](username, password);
  // With `external`, the server takes the name from the certificate.
  const user = wishes.mechanism === "external" ? undefined : username;
  const to = {
    protocol: isSecure ? "amqps" : "amqp",
    hostname,
    port: port ?? standard,
    // The client decodes the name once more.
    vhost: encodeURIComponent(vhost),
    heartbeat,
    ...frameMax !== undefined && { frameMax },
    ...channelMax !== undefined && { channelMax },
  };
  const options = {
    timeout: connectTimeout,
    noDelay: true,
    credentials: login,
    ...isSecure && {
      rejectUnauthorized: wishes.isVerified,
      ...wishes.servername !== undefined && { servername: wishes.servername },
    },
  };
  return {
    address: `${address.scheme}://${server}`,
    isShared: false,
    connect: async (prepare) => {
      const pem = isSecure ? await readPem(address) : {};
      try {
        const model = await connect(to, { ...options, ...pem });
        return new Link(model, { isBorrowed: false, user, prepare });
      } catch (error) {
        throw dialError(error, { vhost, isSecure, server, limit: connectTimeout });
      }
    },
  };
}

/** An attempt to connect. */
interface Dialled {
  readonly vhost: string;
  readonly isSecure: boolean;
  /** The server, as `host:port`. */
  readonly server: string;
  /** The time limit for the server's answer, in milliseconds. */
  readonly limit: number;
}

/** The error of a connection that could not be opened. */
function dialError(error: unknown, { vhost, ...server }: Dialled): unknown {
  // The client's message for a silent server. A timeout of the operating system has another
  // message.
  if ((Object(error) as Error).message === "connect ETIMEDOUT") {
    return silentError({ ...server, product: "AMQP" });
  }
  // The client does not report the server's reason.
  if (/ConnectionOpenOk/.test(String(error))) {
    return new RefusedError(
      `the server refuses virtual host ${
        quote(vhost)
      }: it does not exist, the user has no access to it, or it has reached its limit of connections`,
      { cause: error },
    );
  }
  const hint = tlsHint(error, server.isSecure, TLS);
  if (hint !== undefined) {
    return new ConnectionError(`${(error as Error).message}; ${hint}`, { cause: error });
  }
  const explained = explain(error);
  return explained instanceof RefusedError && codeOf(error) === 403
    ? new RefusedError(withLoginHelp(explained.message, "amqp://user:password@host"), {
      cause: error,
    })
    : explained;
}

function borrow(address: Address, client: AmqpConnection): Dial {
  let isClosed = false;
  client.on("close", () => isClosed = true);
  return {
    address: String(address),
    isShared: true,
    connect: (prepare) =>
      isClosed
        ? Promise.reject(new RefusedError("the connection that was given is closed"))
        : Promise.resolve(new Link(client, { isBorrowed: true, prepare })),
  };
}

function hostOf(address: Address): Partial<Host> {
  if (address.hosts.length <= 1) return address.hosts[0] ?? {};
  throw new TypeError(
    `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
  );
}
