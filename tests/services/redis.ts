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

/** A certificate that servers and clients show each other, in files of its own. */
export class Trust implements AsyncDisposable {
  readonly certificate: string;
  readonly key: string;
  readonly #folder: string;

  private constructor(folder: string, certificate: string, key: string) {
    this.#folder = folder;
    this.certificate = certificate;
    this.key = key;
  }

  static async establish(): Promise<Trust> {
    const folder = await Deno.makeTempDir({ prefix: "tls-" });
    const { certificate, key } = await certify(folder);
    return new Trust(folder, certificate, key);
  }

  /** What a server, a node or a sentinel is told: names and values. */
  settings(port: number): [name: string, value: string][] {
    return [
      ["tls-port", `${port}`],
      ["tls-cert-file", this.certificate],
      ["tls-key-file", this.key],
      ["tls-ca-cert-file", this.certificate],
    ];
  }

  /** The same as arguments. */
  args(port: number): string[] {
    return this.settings(port).flatMap(([name, value]) => [`--${name}`, value]);
  }

  /** The parameters of a client's URL. */
  get parameters(): URLSearchParams {
    return new URLSearchParams({ ca: this.certificate, cert: this.certificate, key: this.key });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** A server that asks for a password serves, too. */
export function answers(port: number): Promise<boolean> {
  return ask(port, "PING\r\n", (reply) => {
    const text = new TextDecoder().decode(reply);
    return text.startsWith("+PONG") || text.startsWith("-NOAUTH");
  });
}
