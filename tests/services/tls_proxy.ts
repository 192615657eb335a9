import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { createServer, type Server } from "node:tls";
import { freePort } from "./service.ts";

/** Puts TLS before a local port, for a broker whose own start takes long. */
export class TlsProxy implements AsyncDisposable {
  /** The port that clients connect to, on `127.0.0.1`. */
  readonly port: number = freePort();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, target: number) {
    this.#server = server;
    server.on("secureConnection", (client) => {
      const broker = connect(target, "127.0.0.1");
      client.pipe(broker).pipe(client);
      for (const [one, other] of [[client, broker], [broker, client]] as const) {
        one.on("error", () => other.destroy());
        one.on("close", () => other.destroy());
      }
    });
    server.on("tlsClientError", () => {});
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
  }

  /** Starts one with a certificate, whose files are named. */
  static async start(target: number, certificate: string, key: string): Promise<TlsProxy> {
    const server = createServer({ cert: await readFile(certificate), key: await readFile(key) });
    const proxy = new TlsProxy(server, target);
    server.listen(proxy.port, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  /** Ends everything; resolves once nothing is open. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
