/**
 * Connects to a NATS server.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { ConnectionOptions } from "@nats-io/transport-node";
import type { Address } from "../../core/backend/address.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { checkClient } from "../../core/backend/kit/given_client.ts";
import type { SourceOptions } from "../../core/backend/kit/source.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import type { Names } from "../../core/util/known_options.ts";
import { after } from "../../core/util/timer.ts";
import { userIn } from "./credentials.ts";
import { Link } from "./link.ts";
import { connectTo, type Login } from "./server.ts";

/** A connection of `@nats-io/transport-node`, as its `connect()` returns it. */
export type NatsConnection = Awaited<
  ReturnType<(typeof import("@nats-io/transport-node"))["connect"]>
>;

/** The default port. */
const PORT = 4222;
/** The time limit for the user's client to be connected, in milliseconds. */
const LIMIT = 10_000;

/** Options for a connection to NATS. */
export interface NatsOptions extends SourceOptions {
  /**
   * A connection of `@nats-io/transport-node`, or of another transport of `@nats-io`. The
   * connection is never closed, and reconnects by itself. The servers, the login and the TLS
   * options of the URL are then ignored.
   *
   * @default {undefined} A connection is made to the servers of the URL.
   */
  readonly client?: NatsConnection | undefined;
  /**
   * Whether the server must have TLS. Without it, TLS is used if the server offers it.
   *
   * @default {false} `true` if `ca`, `cert` or `key` is given.
   */
  readonly tls?: boolean | undefined;
  /**
   * The path of a PEM file with the authorities to trust.
   *
   * @default {undefined} The authorities that the runtime trusts.
   */
  readonly ca?: string | undefined;
  /**
   * The path of a PEM file with the certificate of this client.
   *
   * @default {undefined} None.
   */
  readonly cert?: string | undefined;
  /**
   * The path of a PEM file with the key of this client's certificate.
   *
   * @default {undefined} None.
   */
  readonly key?: string | undefined;
  /**
   * The path of a credentials file with a JWT and its seed, as `nsc` and Synadia Cloud create them.
   * It is read again for each connection.
   *
   * @default {undefined} The login of the URL.
   */
  readonly creds?: string | undefined;
}

/** The names of `NatsOptions`. */
export const NATS_OPTIONS: Names<NatsOptions> = {
  url: true,
  client: true,
  tls: true,
  ca: true,
  cert: true,
  key: true,
  creds: true,
};

/** The server of a backend, and a function that connects to it. */
export interface Dial {
  /** The servers, as shown in messages. */
  readonly address: string;
  /** Connects to a server. */
  readonly connect: () => Promise<Link>;
}

/** Connects to the servers of a URL, with a new client each time. */
export async function dialOf(address: Address): Promise<Dial> {
  const read = loginOf(address);
  const library = await importClient<typeof import("@nats-io/transport-node")>(
    "@nats-io/transport-node",
    address.scheme === "nats" ? "nats({ client })" : "natsStream({ client })",
  );
  const servers = address.servers(PORT);
  // The servers without TLS. Most servers on an IP address have none.
  const plain = new Set<string>();
  return {
    address: `${address.scheme}://${servers.join(",")}`,
    connect: async () => {
      const login = await read();
      let failure: unknown;
      for (const server of shuffled(servers)) {
        try {
          const client = await connectTo(server, { library, login, plain });
          return new Link(client, false, userOf(login));
        } catch (error) {
          // A refusal says more than a failure to connect.
          if (!(failure instanceof RefusedError)) failure = error;
        }
      }
      throw failure;
    },
  };
}

/** Uses the user's client. */
export function dialOver(client: NatsConnection, address: Address): Dial {
  return { address: String(address), connect: () => borrow(client) };
}

/**
 * Checks that a client is a connection of `@nats-io`.
 *
 * @throws {TypeError} If the client is not one. The message says what was given.
 */
export function checkConnection(client: unknown): void {
  checkClient(client, {
    wanted: "a NatsConnection of @nats-io, as `await connect()` returns it",
    methods: [
      "publish",
      "subscribe",
      "request",
      "flush",
      "status",
      "isClosed",
      "closed",
      "reconnect",
    ],
    mistaken: [
      {
        name: "a connection of the package nats, use that of @nats-io/transport-node",
        has: ["jetstream", "jetstreamManager", "flush"],
      },
      {
        name: "the module, pass what its connect() returns",
        has: ["connect", "credsAuthenticator"],
      },
    ],
  });
}

/** Waits until the user's client is connected, since it may be reconnecting. */
async function borrow(client: NatsConnection): Promise<Link> {
  if (client.isClosed()) throw new RefusedError("the client that was given is closed");
  const limit = new AbortController();
  const stop = after(LIMIT, () => limit.abort(new ConnectionError("the client is not connected")));
  try {
    await unlessAborted(limit.signal, client.flush());
  } finally {
    stop();
  }
  // The client does not declare its options.
  const { options } = client as { readonly options?: ConnectionOptions };
  return new Link(client, true, options?.user);
}

/** The name of the user. A token is none. */
function userOf({ options, creds }: Login): string | undefined {
  return creds === undefined ? options.user : userIn(creds);
}

/** Checks the URL now. Files are read for each connection, since they are renewed. */
function loginOf(address: Address): () => Promise<Login> {
  const { username, password } = address;
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": NATS has nothing to name by a path`);
  }
  const tls = address.choice("tls", ["true", "false"]);
  const pem = pemParameters(address);
  const login = password === undefined ? { token: username } : { user: username, pass: password };
  return async () => {
    const creds = await readText(address, "creds");
    return {
      options: username === undefined ? {} : login as ConnectionOptions,
      creds,
      isAsked: tls === "true" || pem.length > 0,
      pem: await readPem(address),
    };
  };
}

async function readText(address: Address, name: string): Promise<string | undefined> {
  const path = address.parameters.get(name);
  if (path === null) return undefined;
  try {
    return await readFile(path, "utf8");
  } catch {
    throw address.invalid(name, path, "the path of a file that can be read");
  }
}

/** In random order, so that many clients do not all use the first server of a cluster. */
function shuffled<Value>(values: readonly Value[]): Value[] {
  return values.map((value) => ({ value, key: Math.random() }))
    .sort((one, other) => one.key - other.key).map(({ value }) => value);
}
