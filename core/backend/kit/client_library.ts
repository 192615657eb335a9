/**
 * Loads the client library of a broker lazily, when its backend opens.
 *
 * @module
 */

/** The client libraries, and that of a codec, with the versions that `deno.json` names too. */
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
 * The specifier is computed on purpose: Deno downloads whatever stands behind a
 * literal `npm:` import before it runs anything, and npm would make each client
 * a hard dependency. The price is that bundlers and `deno compile` do not see
 * it; there, pass the client.
 *
 * @typeParam Module What the library exports.
 * @param name The package.
 * @param wayOut What can be done instead, as it appears in the message.
 * @throws {Error} If it is not installed. The message tells how to install it.
 */
export async function importClient<Module>(
  name: keyof typeof CLIENTS,
  wayOut = ", or pass the client you have: new Broadcast(url, { client })",
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
      `Cannot load client "${name}": ${reason}${wayOut}`,
      { cause },
    );
  }
}
