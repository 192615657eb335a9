/**
 * Connects to an AMQP server, or uses the connection that the user gives.
 *
 * @module
 */

import type { Channel } from "amqplib";
import type { Address, Host } from "../../core/backend/address.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { explain, meaningOf } from "./errors.ts";
import { Link } from "./link.ts";

/** The limit for connecting, in milliseconds. */
const LIMIT = 10_000;
/** The interval at which both ends show that they are alive, in seconds. */
const HEARTBEAT = 10;

/** A connection of amqplib, a `ChannelModel`: its `connect()` resolves with it. */
export type AmqpConnection = Awaited<ReturnType<(typeof import("amqplib"))["connect"]>>;

/** Options for the connection to a server. */
export interface ConnectionOptions extends SourceOptions {
  /**
   * A connection of amqplib, to be used in place of one of the backend's own:
   * `await connect(url)`. Channels are opened on it, and it is never closed. The server of `url`
   * then only appears in messages.
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
}

/** The parameters that are options of the connection. */
export function connectionParameters(
  { ca, cert, key }: ConnectionOptions,
): Record<string, string | undefined> {
  return { ca, cert, key };
}

/**
 * Checks a connection that the user gives.
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
  const [name] = pemParameters(address);
  if (name !== undefined) {
    throw new TypeError(`Cannot use parameter "${name}": a client is given, which has its own`);
  }
}

/** The methods of both connections of amqplib have the same names; some of these take a callback. */
function isOfCallbacks(given: unknown): boolean {
  const { close, createChannel } = Object(given) as Record<string, unknown>;
  return typeof close === "function" && close.length === 1 &&
    typeof createChannel === "function" && createChannel.length >= 1;
}

/** Creates what must exist before a control channel is used. */
export type Prepare = (channel: Channel) => Promise<unknown>;

/** The server of a backend, and how a connection to it is made. */
export interface Dial {
  /** The server's address, as shown in error messages. */
  readonly address: string;
  /** Connects. */
  readonly connect: (prepare: Prepare) => Promise<Link>;
}

/**
 * A dial to the server of a URL, or over the connection that the user gives.
 *
 * @param factory The name of the backend's factory, for the message if amqplib is missing.
 */
export async function dialOf(
  address: Address,
  factory: string,
  client: AmqpConnection | undefined,
): Promise<Dial> {
  if (client !== undefined) return borrow(address, client);
  const { hostname = "localhost", port } = hostOf(address);
  const isSecure = address.scheme.startsWith("amqps") || pemParameters(address).length > 0;
  const { username, password } = address;
  const { connect } = await importClient<typeof import("amqplib")>(
    "amqplib",
    `${factory}({ client })`,
  );
  const standard = isSecure ? 5671 : 5672;
  return {
    address: `${address.scheme}://${address.servers(standard)[0]}`,
    connect: async (prepare) => {
      const to = {
        protocol: isSecure ? "amqps" : "amqp",
        hostname,
        port: port ?? standard,
        ...username !== undefined && { username },
        ...password !== undefined && { password },
        // The client decodes it once more.
        vhost: encodeURIComponent(address.path || "/"),
        heartbeat: HEARTBEAT,
      };
      const options = { timeout: LIMIT, noDelay: true, ...isSecure && await readPem(address) };
      try {
        return new Link(await connect(to, options), prepare, false);
      } catch (error) {
        if (meaningOf(error) !== "no virtual host") throw explain(error);
        const message = `the server refuses virtual host "${address.path || "/"}"`;
        throw new RefusedError(message, { cause: error });
      }
    },
  };
}

function borrow(address: Address, client: AmqpConnection): Dial {
  let isClosed = false;
  client.on("close", () => isClosed = true);
  return {
    address: String(address),
    connect: (prepare) =>
      isClosed
        ? Promise.reject(new RefusedError("the connection that was given is closed"))
        : Promise.resolve(new Link(client, prepare, true)),
  };
}

function hostOf(address: Address): Partial<Host> {
  if (address.hosts.length <= 1) return address.hosts[0] ?? {};
  throw new TypeError(
    `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
  );
}
