/**
 * Loads the client library of a broker when its backend opens.
 *
 * @module
 */

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
} as const;

/**
 * Imports a client library.
 *
 * The specifier is computed on purpose. Deno downloads the target of every literal `npm:` import
 * before it runs a program, and npm would make each client a hard dependency. The drawback is that
 * bundlers and `deno compile` do not see the import; pass a client there.
 *
 * @typeParam Module The exports of the library.
 * @param name The name of the package.
 * @param factory The call that takes a client instead, such as `redis({ client })`, if any.
 * @throws {Error} If the library cannot be loaded. The message says how to install it.
 */
export async function importClient<Module>(
  name: keyof typeof CLIENTS,
  factory?: string,
): Promise<Module> {
  const specifier = "Deno" in globalThis ? `npm:${name}@${CLIENTS[name]}` : name;
  try {
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ specifier);
  } catch (cause) {
    const { code, message } = cause as { code?: string; message?: string };
    const reason = code === "ERR_MODULE_NOT_FOUND" && !("Deno" in globalThis)
      ? `it is not installed, run \`npm install ${name}@${CLIENTS[name]}\``
      : message;
    throw new Error(
      `Cannot load client "${name}": ${reason}${
        factory === undefined ? "" : `, or pass the client that you have: ${factory}`
      }`,
      { cause },
    );
  }
}
