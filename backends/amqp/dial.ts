/**
 * Connects to an AMQP server.
 *
 * @module
 */

import type { Channel, ChannelModel } from "amqplib";
import type { Address, Host } from "../../core/backend/address.ts";
import type { BackendOptions } from "../../core/backend/contract.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { explain, Link } from "./link.ts";

/** How long a connection may take, and how often both ends say that they live. */
const LIMIT = 10_000;
const HEARTBEAT = 10;

/** Makes what is to be there before a channel of control is used. */
export type Prepare = (channel: Channel) => Promise<unknown>;

/** Where the connections of a backend lead, and how each is made. */
export interface Dial {
  /** As it appears in messages. */
  readonly address: string;
  /** Connects. */
  readonly connect: (prepare: Prepare) => Promise<Link>;
}

/** To the server of a URL, or over the connection that the user has. */
export async function dialOf(address: Address, { client }: BackendOptions): Promise<Dial> {
  if (client !== undefined) {
    const model = client as ChannelModel;
    if (typeof model?.createConfirmChannel !== "function" || !model.connection) {
      throw new TypeError("Cannot use client: it is not a connection of amqplib");
    }
    let isClosed = false;
    model.on("close", () => isClosed = true);
    const connect = (prepare: Prepare) =>
      isClosed
        ? Promise.reject(new RefusedError("the connection that was given is closed"))
        : Promise.resolve(new Link(model, prepare, true));
    return { address: String(address), connect };
  }
  const { hostname = "localhost", port } = hostOf(address);
  const isSecure = address.scheme.startsWith("amqps") || pemParameters(address).length > 0;
  const { username, password } = address;
  const { connect } = await importClient<typeof import("amqplib")>("amqplib");
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
        // All that the client says of it is what it had hoped for.
        if (!/ConnectionOpenOk/.test(String(error))) throw explain(error);
        const message = `the server refuses virtual host "${address.path || "/"}"`;
        throw new RefusedError(message, { cause: error });
      }
    },
  };
}

function hostOf(address: Address): Partial<Host> {
  if (address.hosts.length <= 1) return address.hosts[0] ?? {};
  throw new TypeError(
    `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one`,
  );
}
