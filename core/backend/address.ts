/**
 * Parses broker URLs: hosts, credentials, and parameters such as `?timeout=5s`.
 *
 * The platform's `URL` rejects several hosts, and its errors show the whole URL, including the
 * password.
 *
 * @module
 */

import { quote } from "../util/quote.ts";

/** One server of a broker. */
export interface Host {
  /** A name or an IP address. An IPv6 address has no brackets. */
  readonly hostname: string;
  /** The port, if the URL has one. */
  readonly port?: number;
}

const PATTERN =
  /^([a-z][a-z0-9+.-]*):(?:\/\/(?:([^/?#]*)@)?([^/?#@]*))?(\/[^?#@]*)?(?:\?([^#@]*))?$/i;
/** Some clients write each host with the scheme, and perhaps with the same login. */
const REPEATED = /,[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@,]*@)?/gi;
const HOST = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/i;

/** A parsed broker URL. */
export class Address {
  /** The scheme, in lower case, without the colon. */
  readonly scheme: string;
  /** The servers; empty if the URL has none. */
  readonly hosts: readonly Host[];
  /** The decoded user name, or `undefined`. */
  readonly username: string | undefined;
  /** The decoded password, or `undefined`. */
  readonly password: string | undefined;
  /** The decoded path without its leading slash, or an empty string. */
  readonly path: string;
  /** The query parameters. */
  readonly parameters: URLSearchParams;

  /**
   * Parses a URL.
   *
   * @param url `scheme://[user[:password]@]host[:port][,host[:port]…][/path][?parameters]`. Further
   * hosts may repeat the scheme and the login.
   * @throws {TypeError} If the URL is malformed. The message contains no credentials.
   */
  constructor(url: string) {
    const match = PATTERN.exec(url.replaceAll(REPEATED, ","));
    if (!match) throw malformed(url, `it is not scheme://host${ENCODE}`);
    const [, scheme = "", userinfo, hosts = "", path = "", query = ""] = match;
    this.scheme = scheme.toLowerCase();
    const colon = userinfo?.indexOf(":") ?? -1;
    this.username = decode(url, colon < 0 ? userinfo : userinfo?.slice(0, colon)) || undefined;
    this.password = colon < 0 ? undefined : decode(url, userinfo?.slice(colon + 1));
    this.hosts = hosts === "" ? [] : hosts.split(",").map((host) => parseHost(url, host));
    this.path = decode(url, path.slice(1)) ?? "";
    this.parameters = new URLSearchParams(query);
  }

  /** The URL without credentials and parameters, for messages. */
  toString(): string {
    // The path may hold a password if the URL has no `//host`, or too many slashes.
    const path = /[:@]/.test(this.path) ? "…" : this.path;
    return `${this.scheme}://${this.hosts.map(formatHost).join(",")}${path && `/${path}`}`;
  }

  /**
   * The hosts as `host:port`, for messages; `localhost` if the URL has none.
   *
   * @param port The port of hosts without one.
   */
  servers(port: number): string[] {
    const hosts = this.hosts.length > 0 ? this.hosts : [{ hostname: "localhost" }];
    return hosts.map((host) => formatHost({ port, ...host }));
  }

  /**
   * Reads a parameter that is one of several words.
   *
   * @returns `undefined` if the URL does not have it.
   * @throws {TypeError} If the value is not one of the choices. The message lists them.
   */
  choice<const Choice extends string>(
    name: string,
    choices: readonly Choice[],
  ): Choice | undefined {
    const value = this.parameters.get(name);
    if (value === null) return undefined;
    const choice = choices.find((choice) => choice === value);
    if (choice === undefined) throw this.invalid(name, value, `one of ${choices.join(", ")}`);
    return choice;
  }

  /**
   * Reads a parameter that is a whole number of at least `least`, by default 1.
   *
   * @returns `undefined` if the URL does not have it.
   * @throws {TypeError} If the value is not such a number.
   */
  count(name: string, least = 1): number | undefined {
    const value = this.parameters.get(name);
    if (value === null) return undefined;
    const count = /^\d{1,15}$/.test(value) ? Number(value) : NaN;
    if (!(count >= least)) throw this.invalid(name, value, `a whole number of at least ${least}`);
    return count;
  }

  /**
   * Reads a parameter that is a duration with a unit: `250ms`, `10s`, `5m`, `2h`, `7d`, or `0`. A
   * number without a unit is rejected, since some URLs mean seconds and others milliseconds.
   *
   * @returns Milliseconds, or `undefined` if the URL does not have it.
   * @throws {TypeError} If the value is not a duration.
   */
  duration(name: string): number | undefined {
    const value = this.parameters.get(name);
    if (value === null) return undefined;
    if (value === "0") return 0;
    const [, number, unit] = DURATION.exec(value) ?? [];
    if (number === undefined) {
      throw this.invalid(name, value, "a duration such as 250ms, 10s or 7d");
    }
    if (unit === undefined) {
      throw this.invalid(name, value, `a duration with its unit, such as ${value}s or ${value}ms`);
    }
    return Number(number) * UNITS[unit as keyof typeof UNITS];
  }

  /** The error for an invalid parameter. */
  invalid(name: string, value: string, expected: string): TypeError {
    return new TypeError(
      `Cannot open "${this}": parameter ${quote(name)} must be ${expected}, it is ${quote(value)}`,
    );
  }
}

const ENCODE = "; in a user name or a password, / ? # @ : are written %2F %3F %23 %40 %3A";

const DURATION = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)?$/;
const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function parseHost(url: string, text: string): Host {
  const match = HOST.exec(text);
  const port = match?.[3] === undefined ? undefined : Number(match[3]);
  if (!match || (port !== undefined && (port < 1 || port > 65535))) {
    throw malformed(url, `a host in it is not host or host:port${ENCODE}`);
  }
  const hostname = match[1] ?? match[2] ?? "";
  return port === undefined ? { hostname } : { hostname, port };
}

function formatHost({ hostname, port }: Host): string {
  const name = hostname.includes(":") ? `[${hostname}]` : hostname;
  return port === undefined ? name : `${name}:${port}`;
}

function decode(url: string, text: string | undefined): string | undefined {
  try {
    return text && decodeURIComponent(text);
  } catch {
    throw malformed(url, `a "%" in it is not followed by two hexadecimal digits`);
  }
}

/** Shows only the scheme, since the text after the colon may contain a password. */
function malformed(url: string, reason: string): TypeError {
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0];
  return new TypeError(
    `Cannot open ${scheme ? `"${scheme}…"` : "a broadcast"}: the URL is malformed, ${reason}`,
  );
}
