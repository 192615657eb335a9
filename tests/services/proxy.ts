import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "./service.ts";

/** A wire between a client and a broker that a test can cut, stall and close. */
export class Proxy implements AsyncDisposable {
  /** The port that clients connect to. */
  readonly port: number = freePort();
  /** What becomes of what the broker says. */
  rewrite: (chunk: Uint8Array) => Uint8Array = (chunk) => chunk;
  /** What becomes of what the clients say. */
  rewriteRequests: (chunk: Uint8Array) => Uint8Array = (chunk) => chunk;
  #target: number;
  #server: Server | undefined;
  #sockets = new Set<Socket>();
  #closing = new Set<Promise<unknown>>();
  #stalled = false;

  private constructor(target: number) {
    this.#target = target;
  }

  /** Starts a proxy to a local port, where nobody needs to listen yet. */
  static async start(targetPort: number): Promise<Proxy> {
    const proxy = new Proxy(targetPort);
    await proxy.accept();
    return proxy;
  }

  /** How many clients are connected. */
  get connections(): number {
    return this.#sockets.size / 2;
  }

  /** The URL of a broker, with this proxy in its place. */
  url(broker: string): string {
    return broker.replace(/^([^/]*\/\/(?:[^@/]*@)?)[^/?]*/, `$1127.0.0.1:${this.port}`);
  }

  /** Ends all connections at once, and without any farewell. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Moves no more bytes either way, while all connections stay open, also those yet to come. */
  stall(): void {
    this.#stalled = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Keeps back what the broker says on the connections that are open; what clients say goes on. */
  stallReplies(): void {
    for (const socket of this.#sockets) if (socket.remotePort === this.#target) socket.pause();
  }

  /** Moves no bytes on connections yet to come; those that are open go on. */
  stallNext(): void {
    this.#stalled = true;
  }

  /** Moves bytes again, those that waited first. */
  resume(): void {
    this.#stalled = false;
    for (const socket of this.#sockets) socket.resume();
  }

  /** Refuses new connections; those that are open stay so. */
  refuse(): void {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.#closing.add(once(server, "close"));
    server.close();
  }

  /** Accepts connections again, on the same port. */
  async accept(): Promise<void> {
    if (this.#server) return;
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client));
    this.#server = server;
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
  }

  /** Leads new connections elsewhere, as an address does behind which another server takes over. */
  redirect(targetPort: number): void {
    this.#target = targetPort;
  }

  /** Ends everything; resolves once nothing is open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.refuse();
    this.cut();
    await Promise.all(this.#closing);
  }

  #join(client: Socket): void {
    const broker = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    this.#pass(client, broker, (chunk) => this.rewriteRequests(chunk));
    this.#pass(broker, client, (chunk) => this.rewrite(chunk));
  }

  #pass(from: Socket, to: Socket, rewrite: (chunk: Uint8Array) => Uint8Array): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    if (this.#stalled) from.pause();
    from.on("data", (chunk: Uint8Array) => {
      if (!to.write(rewrite(chunk))) from.pause();
    });
    to.on("drain", () => {
      if (!this.#stalled) from.resume();
    });
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#closing.add(promise);
    from.on("close", () => {
      to.destroy();
      this.#sockets.delete(from);
      this.#closing.delete(promise);
      resolve();
    });
  }
}
