/**
 * The settings of a connection, from a URL with the parameters of libpq and of hosting providers.
 *
 * @module
 */

import type { Options } from "postgres";
import type { Address } from "../../core/backend/address.ts";
import { pemParameters, readPem } from "../../core/backend/kit/tls_files.ts";
import { defaultUser } from "./default_user.ts";
import type { Endpoint, TlsOptions } from "./socket.ts";

/** The settings of a connection. */
export interface Settings {
  /** The server. */
  readonly endpoint: Endpoint;
  /** The settings of the client library. */
  readonly client: Options<Record<never, never>>;
}

/** The default time limit for a server to accept a session, in seconds. */
const TIMEOUT = 10;

/** A value of `sslmode`. */
export type SslMode =
  | "disable"
  | "allow"
  | "prefer"
  | "require"
  | "no-verify"
  | "verify-ca"
  | "verify-full";

/** The checks of the server's certificate. */
const MODES: Readonly<Record<SslMode, TlsOptions | undefined>> = {
  disable: undefined,
  allow: { checks: "nothing", isOptional: true },
  prefer: { checks: "nothing", isOptional: true },
  require: { checks: "nothing" },
  "no-verify": { checks: "nothing" },
  "verify-ca": { checks: "authority" },
  "verify-full": { checks: "host" },
};

const NAMES = Object.keys(MODES) as SslMode[];

/** Other names of a parameter. */
const ALIASES: Readonly<Record<string, string>> = {
  sslrootcert: "ca",
  sslcert: "cert",
  sslkey: "key",
};

/** The parameters that choose how to connect. The user's client has its own settings. */
export const CONNECTION_PARAMETERS: readonly string[] = [
  ...["sslmode", "ca", "cert", "key", ...Object.keys(ALIASES)],
  ...["ssl", "sslaccept", "sslnegotiation", "channel_binding", "gssencmode"],
  ...["host", "port", "target_session_attrs"],
  ...["connect_timeout", "application_name", "options", "pgbouncer"],
];

/**
 * The settings of a URL.
 *
 * @throws {TypeError} If the URL names several hosts, a parameter cannot be used, or there is no
 * user.
 */
export async function settingsOf(address: Address): Promise<Settings> {
  const { parameters, path, username, password } = withoutAliases(address);
  const { host, port } = serverOf(address);
  checkAttributes(address);
  const timeout = address.count("connect_timeout", 0) ?? TIMEOUT;
  const options = parameters.get("options");
  return {
    endpoint: { host, port, tls: await tlsOf(address), timeout: timeout * 1_000 },
    client: {
      host,
      port,
      ssl: false,
      connect_timeout: timeout,
      // A pooler gives each transaction another session, without the prepared statements.
      ...address.choice("pgbouncer", ["true", "false"]) === "true" && { prepare: false },
      connection: {
        application_name: parameters.get("application_name") ?? "broadcaster",
        ...options !== null && { options },
      },
      ...path !== "" && { database: path },
      username: username ?? await defaultUser(address),
      ...password !== undefined && { password },
    },
  };
}

/** The server and the database, as shown in messages. */
export function shownAs(name: string, address: Address): string {
  const { host, port } = serverOf(address);
  const server = host.includes(":") && !host.startsWith("/") ? `[${host}]` : host;
  return `${name}://${server}:${port}${address.path && `/${address.path}`}`;
}

/** Renames aliases to the names of their parameters. */
function withoutAliases(address: Address): Address {
  const { parameters } = address;
  for (const [alias, name] of Object.entries(ALIASES)) {
    const value = parameters.get(alias);
    if (value === null) continue;
    parameters.delete(alias);
    if (value === "system") {
      if (!parameters.has("sslmode")) parameters.set("sslmode", "verify-full");
    } else if (!parameters.has(name)) parameters.set(name, value);
  }
  return address;
}

/** The parameters `host` and `port` take precedence over the URL's own, as in libpq. */
function serverOf(address: Address): { readonly host: string; readonly port: number } {
  const { parameters } = address;
  const given = address.hosts[0] ?? { hostname: "localhost" };
  const host = parameters.get("host") ?? decoded(given.hostname);
  if (address.hosts.length > 1 || host.includes(",")) {
    throw new TypeError(
      `Cannot open "${address}": it names several hosts, ${address.scheme}:// takes one: that of the primary, or an address that leads there`,
    );
  }
  return { host, port: address.count("port") ?? given.port ?? 5432 };
}

/** A host may be the folder of a Unix socket, with its slashes encoded. */
function decoded(host: string): string {
  return /^%2f/i.test(host) ? decodeURIComponent(host) : host;
}

/** Only a primary accepts NOTIFY, so each connection must lead to a primary. */
function checkAttributes(address: Address): void {
  const value = address.parameters.get("target_session_attrs");
  if (value === null || /^(any|primary|read-write)$/.test(value)) return;
  throw address.invalid(
    "target_session_attrs",
    value,
    "any, primary or read-write, since a standby takes no NOTIFY",
  );
}

async function tlsOf(address: Address): Promise<TlsOptions | undefined> {
  const { parameters } = address;
  address.choice("gssencmode", ["disable", "prefer"]);
  const isDirect = address.choice("sslnegotiation", ["postgres", "direct"]) === "direct";
  const pem = await readPem(address);
  const mode = checkedMode(address, modeOf(address) ?? defaultMode(address, isDirect));
  const options = MODES[mode];
  if (options === undefined) return undefined;
  if (isDirect && options.isOptional) {
    throw address.invalid("sslmode", parameters.get("sslmode")!, "require with direct TLS");
  }
  return { ...options, ...pem, isDirect };
}

/** The mode without `sslmode`. Certificates imply that they are checked. */
function defaultMode(address: Address, isDirect: boolean): SslMode {
  if (pemParameters(address).length > 0) return "verify-full";
  return isDirect ? "require" : "disable";
}

/** The mode, with more checks if other parameters require them. */
function checkedMode(address: Address, mode: SslMode): SslMode {
  const binding = address.choice("channel_binding", ["disable", "prefer", "require"]);
  if (binding !== "require") {
    return mode === "require" && address.parameters.has("ca") ? "verify-ca" : mode;
  }
  if (mode === "no-verify" || mode === "disable" && address.parameters.has("sslmode")) {
    throw address.invalid("channel_binding", binding, `disable or prefer with sslmode=${mode}`);
  }
  // The client cannot bind the password to TLS. A checked certificate protects as well.
  return "verify-full";
}

/** The mode, by any of its names. */
function modeOf(address: Address): SslMode | undefined {
  const accepts = address.choice("sslaccept", ["strict", "accept_invalid_certs"]);
  const ssl = address.choice("ssl", ["true", "1", "false", "0", ...NAMES]);
  return address.choice("sslmode", NAMES) ??
    (accepts && (accepts === "strict" ? "verify-full" : "no-verify")) ??
    (ssl === "true" || ssl === "1"
      ? "verify-full"
      : ssl === "false" || ssl === "0"
      ? "disable"
      : ssl);
}
