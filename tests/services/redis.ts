import { certify } from "./certificate.ts";
import { provide } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface RedisOptions {
  /** The port; a free one by default. */
  port?: number;
  /** What clients must know. */
  password?: string;
  /** More arguments, such as `["--appendonly", "yes"]` to keep data over a restart. */
  args?: string[];
}

/** Finds a Redis server for this run. */
export function locate(): Promise<Located> {
  return find({
    variable: "REDIS_URL",
    start,
    usual: async () => await answers(6379) ? "redis://127.0.0.1:6379" : undefined,
  });
}

/** Starts a Redis server of a test's own. It keeps nothing on disk. */
export async function start(options: RedisOptions = {}): Promise<Server> {
  const { port = freePort(), password, args = [] } = options;
  const command = await provide("redis-server", "redis-server");
  return await Server.start({
    name: "redis-server",
    url: `redis://${password ? `:${encodeURIComponent(password)}@` : ""}127.0.0.1:${port}`,
    port,
    directory: await Deno.makeTempDir({ prefix: "redis-" }),
    command,
    args: [
      ...["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
      ...(password ? ["--requirepass", password] : []),
      ...args,
    ],
    answers: () => answers(port),
  });
}

/** A server that speaks TLS, to clients that show its certificate. */
export interface SecureServer extends AsyncDisposable {
  /** The port for TLS. */
  readonly port: number;
  /** The file of the certificate that signs. */
  readonly ca: string;
  /** The file of a certificate, and that of its key. */
  readonly cert: string;
  readonly key: string;
}

/** Starts a server that speaks TLS with a certificate of its own. */
export async function startSecure(): Promise<SecureServer> {
  const folder = await Deno.makeTempDir({ prefix: "tls-" });
  const { certificate, key } = await certify(folder);
  const port = freePort();
  const args = [
    ...["--tls-port", `${port}`, "--tls-cert-file", certificate, "--tls-key-file", key],
    ...["--tls-ca-cert-file", certificate],
  ];
  const server = await start({ args });
  return {
    port,
    ca: certificate,
    cert: certificate,
    key,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** A server that asks for a password serves, too. */
export function answers(port: number): Promise<boolean> {
  return ask(port, "PING\r\n", (reply) => {
    const text = new TextDecoder().decode(reply);
    return text.startsWith("+PONG") || text.startsWith("-NOAUTH");
  });
}
