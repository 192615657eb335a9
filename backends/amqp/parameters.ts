/**
 * The parameters of AMQP URLs: the library's own, and other clients' names for the same.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import { quote } from "../../core/util/quote.ts";

/** Parameters with a meaning: the library's name first, then other clients' names for the same. */
const NAMES = {
  heartbeat: ["heartbeat"],
  frameMax: ["frameMax", "frame_max"],
  channelMax: ["channelMax", "channel_max"],
  connectTimeout: ["connection_timeout"],
  vhost: ["vhost"],
  mechanism: ["auth_mechanism"],
  ca: ["ca", "cacertfile"],
  cert: ["cert", "certfile"],
  key: ["key", "keyfile"],
  verify: ["verify"],
  servername: ["server_name_indication"],
} as const;

/** The smallest frame of the protocol, in bytes. */
const LEAST_FRAME = 4_096;

/** The connection settings of a URL. */
export interface Wishes {
  /** The interval of heartbeats in seconds; 0 for none. */
  readonly heartbeat: number | undefined;
  /** The size of the largest frame, in bytes. */
  readonly frameMax: number | undefined;
  /** The number of AMQP channels of the connection. */
  readonly channelMax: number | undefined;
  /** The limit for connecting, in milliseconds. */
  readonly connectTimeout: number | undefined;
  /** The virtual host. */
  readonly vhost: string;
  /** The login mechanism. */
  readonly mechanism: "plain" | "amqplain" | "external";
  /** Whether the certificate of the server is checked. */
  readonly isVerified: boolean;
  /** The name that the certificate of the server must have, if it is not the host. */
  readonly servername: string | undefined;
}

/**
 * Reads the parameters of a URL. Other clients' names for TLS files are converted.
 *
 * @throws {TypeError} If a parameter has a value that cannot be used.
 */
export function wishesOf(address: Address): Wishes {
  const { parameters, path } = address;
  for (const [own, alias] of [NAMES.ca, NAMES.cert, NAMES.key]) {
    const value = parameters.get(alias);
    if (value !== null && !parameters.has(own)) parameters.set(own, value);
  }
  const count = (names: readonly string[], least: number) =>
    names.map((name) => address.count(name, least)).find((value) => value !== undefined);
  const given = parameters.get("vhost");
  if (given !== null && path && given !== path) {
    throw address.invalid("vhost", given, `the virtual host of the path, ${quote(path)}`);
  }
  const mechanism = parameters.get("auth_mechanism");
  const known = (["plain", "amqplain", "external"] as const)
    .find((name) => name === (mechanism ?? "plain").toLowerCase());
  if (known === undefined) {
    throw address.invalid("auth_mechanism", mechanism!, "one of plain, amqplain, external");
  }
  return {
    heartbeat: count(NAMES.heartbeat, 0),
    frameMax: count(NAMES.frameMax, LEAST_FRAME),
    channelMax: count(NAMES.channelMax, 0),
    connectTimeout: count(NAMES.connectTimeout, 1),
    vhost: path || given || "/",
    mechanism: known,
    isVerified: address.choice("verify", ["verify_peer", "verify_none"]) !== "verify_none",
    servername: parameters.get("server_name_indication") ?? undefined,
  };
}

/** The names of the parameters that have no effect on a user's connection. */
export function connectionNames(address: Address): readonly string[] {
  return Object.values(NAMES).flat().filter((name) =>
    name !== "vhost" && address.parameters.has(name)
  );
}
