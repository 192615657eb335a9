/** A wire between one process and one server, which can be made to misbehave in many ways. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { freePort } from "../services/service.ts";
import type { Misbehaviour } from "./plan.ts";

type Way = "up" | "down";

/** How often a drip falls, in milliseconds. */
const DRIP = 2;

/** Two sockets that are one connection, and the end of both. */
interface Connection {
  readonly client: Socket;
  readonly server: Socket;
  readonly closed: AbortController;
}

/** A port that leads to a server, and what becomes of the bytes on their way. */
export class Wire implements AsyncDisposable {
  /** Where the process connects to. */
  readonly port: number = freePort();
  /** Where it leads: a server that need not be there yet. */
  target: number;
  /** What becomes of what the server says. */
  rewrite: ((chunk: Uint8Array) => Uint8Array) | undefined;
  #server: Server | undefined;
  /** When the first connection came that it accepted since it refused them, by the clock. */
  joined: number | undefined;
  readonly #connections = new Set<Connection>();
  readonly #passing = new Set<Promise<unknown>>();
  readonly #closing = new Set<Promise<unknown>>();
  readonly #stalled = new Set<Way>();
  /** Told when what was stalled moves again. */
  #moving = Promise.withResolvers<void>();
  #delay = 0;
  #drip = 0;
  #resetBehind = Infinity;

  private constructor(target: number) {
    this.target = target;
  }

  /** A wire that is ready. */
  static async lay(target: number): Promise<Wire> {
    const wire = new Wire(target);
    await wire.#accept();
    return wire;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#connections.size;
  }

  /** Begins to misbehave; what is over at once needs no `end()`. */
  begin(fault: Misbehaviour): void {
    switch (fault.kind) {
      case "cut":
        return this.#cut();
      case "refuse":
        this.#refuse();
        return this.#cut();
      case "freeze":
      case "stall":
        return this.#stall("up", "down");
      case "stall-up":
        return this.#stall("up");
      case "stall-down":
        return this.#stall("down");
      case "delay":
        this.#delay = fault.by;
        return;
      case "drip":
        this.#drip = fault.bytes;
        return;
      case "reset":
        this.#resetBehind = fault.behind;
        return;
    }
  }

  /** Ends the misbehaviour. What was frozen never moves again: its connections are cut. */
  async end(fault: Misbehaviour): Promise<void> {
    switch (fault.kind) {
      case "refuse":
        return await this.#accept();
      case "freeze":
        this.#cut();
        return this.#move();
      case "stall":
      case "stall-up":
      case "stall-down":
        return this.#move();
      case "delay":
        this.#delay = 0;
        return;
      case "drip":
        this.#drip = 0;
        return;
    }
  }

  /** From now on it is a wire like any other. */
  async calm(): Promise<void> {
    this.#delay = this.#drip = 0;
    this.#resetBehind = Infinity;
    this.#move();
    await this.#accept();
  }

  /** Ends all connections; resolves once nothing is open. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#refuse();
    this.#cut();
    this.#move();
    await Promise.all([...this.#closing, ...this.#passing]);
  }

  #stall(...ways: Way[]): void {
    for (const way of ways) this.#stalled.add(way);
  }

  #move(): void {
    this.#stalled.clear();
    this.#moving.resolve();
    this.#moving = Promise.withResolvers();
  }

  #cut(): void {
    for (const { client, server } of this.#connections) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  #refuse(): void {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    this.joined = undefined;
    const closed = once(server, "close");
    this.#closing.add(closed);
    void closed.then(() => this.#closing.delete(closed));
    server.close();
  }

  async #accept(): Promise<void> {
    if (this.#server) return;
    await Promise.all(this.#closing);
    if (this.#server) return;
    const server = createServer({ allowHalfOpen: true }, (client) => this.#join(client));
    this.#server = server;
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
  }

  #join(client: Socket): void {
    this.joined ??= Date.now();
    const server = connect({ port: this.target, host: "127.0.0.1", allowHalfOpen: true });
    const connection = { client, server, closed: new AbortController() };
    this.#connections.add(connection);
    for (const socket of [client, server]) {
      socket.setNoDelay(true);
      socket.on("error", () => {});
      // Whoever is lost takes the other one along.
      socket.on("close", () => {
        connection.closed.abort();
        client.destroy();
        server.destroy();
        this.#connections.delete(connection);
      });
    }
    for (const way of ["up", "down"] as const) {
      const passing = this.#pass(connection, way).catch(() => {});
      this.#passing.add(passing);
      void passing.then(() => this.#passing.delete(passing));
    }
  }

  /** Passes on what one end says, until one of them is lost. */
  async #pass({ client, server, closed }: Connection, way: Way): Promise<void> {
    const [from, to] = way === "up" ? [client, server] : [server, client];
    const { signal } = closed;
    const lost = new Promise<never>((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason), { once: true })
    );
    lost.catch(() => {});
    const isDown = way === "down";
    for await (const chunk of from as AsyncIterable<Uint8Array>) {
      const bytes = isDown && this.rewrite ? this.rewrite(chunk) : chunk;
      if (this.#delay > 0) await pause(this.#delay);
      for (let at = 0; at < bytes.length;) {
        while (this.#stalled.has(way)) await Promise.race([this.#moving.promise, lost]);
        signal.throwIfAborted();
        const length = this.#drip > 0 ? this.#drip : bytes.length - at;
        let part = bytes.subarray(at, at + length);
        if (isDown && this.#resetBehind < part.length) {
          // The last bytes arrive, and a frame breaks off in the middle.
          part = part.subarray(0, this.#resetBehind);
          to.write(part);
          this.#resetBehind = Infinity;
          await pause(1);
          return this.#cut();
        }
        if (isDown) this.#resetBehind -= part.length;
        if (!to.write(part)) await Promise.race([once(to, "drain", { signal }), lost]);
        at += part.length;
        if (this.#drip > 0) await pause(DRIP, undefined, { signal });
      }
    }
    to.end();
  }
}
