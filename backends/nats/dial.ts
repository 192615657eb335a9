/**
 * Connects to a NATS server.
 *
 * @module
 */

import type { ConnectionOptions, NatsConnection } from "@nats-io/transport-node";
import type { Address } from "../../core/backend/address.ts";
import type { BackendOptions } from "../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { after } from "../../core/util/timer.ts";
import { Link } from "./link.ts";
import { guard } from "./socket_errors.ts";

/** The port of servers that name none. */
const PORT = 4222;
/** How long a connection may take. */
const LIMIT = 10_000;

/** The core reconnects, and looks whether a connection is half-open; the client is the safety net. */
const OPTIONS = {
  reconnect: false,
  pingInterval: 10_000,
  maxPingOut: 2,
  timeout: LIMIT,
  noAsyncTraces: true,
} satisfies ConnectionOptions;

/** Where the connections of a backend lead, and how each is made. */
export interface Dial {
  /** As it appears in messages. */
  readonly address: string;
  /** Connects. */
  readonly connect: () => Promise<Link>;
}

/** To the servers of a URL, or over the client that the user has. */
export async function dialOf(address: Address, { client }: BackendOptions): Promise<Dial> {
  if (client !== undefined) {
    const given = client as Partial<NatsConnection> | null;
    if (typeof given?.publish !== "function" || typeof given.status !== "function") {
      throw new TypeError("Cannot use client: it is not a `NatsConnection` of @nats-io");
    }
    return { address: String(address), connect: () => borrow(client as NatsConnection) };
  }
  const configure = configuration(address);
  const { connect } = await importClient<typeof import("@nats-io/transport-node")>(
    "@nats-io/transport-node",
  );
  return {
    address: `${address.scheme}://${address.servers(PORT).join(",")}`,
    connect: async () => {
      const options = await configure();
      try {
        return new Link(await guard(() => connect(options)), false);
      } catch (error) {
        throw isRefusal(error) ? new RefusedError(error.message, { cause: error }) : error;
      }
    },
  };
}

/** Waits for the user's client to be connected, as it may be about to reconnect. */
async function borrow(client: NatsConnection): Promise<Link> {
  if (client.isClosed()) throw new RefusedError("the client that was given is closed");
  const limit = new AbortController();
  const stop = after(LIMIT, () => limit.abort(new ConnectionError("the client is not connected")));
  try {
    await unlessAborted(limit.signal, client.flush());
  } finally {
    stop();
  }
  return new Link(client, true);
}

/** Checks the URL now; files are read each time it connects, since certificates are renewed. */
function configuration(address: Address): () => Promise<ConnectionOptions> {
  const { username, password } = address;
  if (address.path) {
    throw new TypeError(`Cannot open "${address}": NATS has nothing to name by a path`);
  }
  const tls = address.choice("tls", ["true", "false"]);
  const login = password === undefined ? { token: username } : { user: username, pass: password };
  return async () => {
    return {
      ...OPTIONS,
      servers: address.servers(PORT),
      ...username !== undefined && login as ConnectionOptions,
      // Without it a server that offers TLS is used with it.
      ...(tls === "true" || pemParameters(address).length > 0) && { tls: await readPem(address) },
    };
  };
}

/** Whether the server has answered, and said no. */
function isRefusal(error: unknown): error is Error {
  return error instanceof Error &&
    ["AuthorizationError", "UserAuthenticationExpiredError"].includes(error.name);
}
