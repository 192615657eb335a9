/**
 * Loads the client library of a broker when its backend opens.
 *
 * @module
 */

import { quote } from "../../util/quote.ts";

/** The optional dependencies of backends and codecs, with the same versions as in `deno.json`. */
export const CLIENTS = {
  ioredis: "^6.0.0",
  postgres: "^3.4.9",
  kafkajs: "2.2.4",
  amqplib: "^2.3.1",
  mqtt: "^5.16.0",
  "@nats-io/transport-node": "^3.4.0",
  "@nats-io/jetstream": "^3.4.0",
  "@msgpack/msgpack": "^3.1.3",
  "@opentelemetry/api": "^1.9.0",
} as const;

/** A client library cannot be loaded. */
export class MissingClientError extends Error {
  /** The name of the client's package. */
  readonly client: keyof typeof CLIENTS;

  /**
   * @param client The name of the client's package.
   * @param message What to do.
   * @param cause Why the client cannot be loaded.
   */
  constructor(client: keyof typeof CLIENTS, message: string, cause: unknown) {
    super(message, { cause });
    this.client = client;
  }
}

/**
 * Imports a client library.
 *
 * The specifier is computed on purpose. Deno downloads the target of every literal `npm:` import
 * before it runs a program, and npm would make each client a hard dependency. The drawback is that
 * bundlers and `deno compile` do not see the import; pass a client there.
 *
 * @typeParam Module The exports of the library.
 * @param name The name of the package.
 * @param factory The factory that accepts a client, such as `redis({ client })`, if any.
 * @param range The versions that Deno may load, if not all that npm may install.
 * @throws {MissingClientError} If the library cannot be loaded. The message says what to do.
 */
export async function importClient<Module>(
  name: keyof typeof CLIENTS,
  factory?: string,
  range: string = CLIENTS[name],
): Promise<Module> {
  try {
    const client = "Deno" in globalThis ? importOnDeno(name, range) : importModule(name);
    return await client as Module;
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const install = "Bun" in globalThis ? "bun add" : "npm install";
    // Deno uses the same code whether loading an `npm:` specifier is forbidden or fails.
    const reason = /MODULE_NOT_FOUND$/.test(code ?? "") && /(Cannot|Could not) find/.test(message)
      ? `it is not installed, run \`${install} ${name}@${CLIENTS[name]}\``
      : message;
    const pass = `. In a bundle, pass a factory with your own client: new Broadcast(${factory})`;
    throw new MissingClientError(
      name,
      `Cannot load client ${quote(name)}: ${reason}${factory === undefined ? "" : pass}`,
      cause,
    );
  }
}

/**
 * Deno loads `npm:` specifiers, but not inside npm packages. Such packages find the client in
 * `node_modules`.
 */
async function importOnDeno(name: string, range: string): Promise<unknown> {
  try {
    return await importModule(`npm:${name}@${range}`);
  } catch (error) {
    if (!String(error).includes("ERR_UNSUPPORTED_ESM_URL_SCHEME")) throw error;
    return await importModule(name);
  }
}

function importModule(specifier: string): Promise<unknown> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
}
