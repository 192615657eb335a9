/**
 * The response of a `node:http` or `node:http2` server, and whether its client has left.
 *
 * @module
 */

import type { EventStream, Sink } from "./event_stream.ts";

/** The socket of a client: it emits `close` when the connection is closed. */
export interface ClientSocket {
  /** Whether the socket is closed. */
  readonly destroyed?: boolean | undefined;
  /** Adds a listener. */
  on(event: "close", listener: () => void): unknown;
  /** Removes a listener. */
  off(event: "close", listener: () => void): unknown;
}

/**
 * A `ServerResponse` of `node:http`, or an `Http2ServerResponse` of `node:http2`, with the members
 * that `sendEventStream()` uses.
 */
export interface ServerResponse {
  /** The request of the response. */
  readonly req: {
    /** Method of the request. */
    readonly method?: string | undefined;
    /** Socket of the client. */
    readonly socket: ClientSocket | null | undefined;
  };
  /** Whether the response was destroyed, for example because the client has left. */
  readonly destroyed?: boolean | undefined;
  /** Stream of HTTP/2. */
  readonly stream?: {
    /** Whether the stream was destroyed. */
    readonly destroyed: boolean;
    /** Session of the client. */
    readonly session?: {
      /** Closes the session once its streams have ended. The client opens another one. */
      close(): unknown;
    } | undefined;
  } | undefined;
  /** Sets a header. */
  setHeader(name: string, value: string): unknown;
  /** Sends the status and the headers. */
  writeHead(status: number): unknown;
  /** Sends bytes. Returns `false` if the caller must wait for `drain`. */
  write(chunk: Uint8Array): boolean;
  /** Ends the response. */
  end(): unknown;
  /** Destroys the connection. */
  destroy(): unknown;
  /** Adds a listener. */
  on(event: "close" | "drain", listener: () => void): unknown;
  /** Removes a listener. */
  off(event: "close" | "drain", listener: () => void): unknown;
}

/** Callbacks by socket. They share one listener, since a socket warns about the eleventh. */
const clients = new WeakMap<ClientSocket, Set<() => void>>();

/** Whether the client has left. */
export function hasLeft({ req: { socket }, destroyed, stream }: ServerResponse): boolean {
  // An HTTP/2 request has no socket once the client has left.
  return !socket || Boolean(socket.destroyed || destroyed || stream?.destroyed);
}

/**
 * Calls back once the client has left.
 *
 * Also watches the socket. On Node 20 and 22, a response that waits behind another one of the same
 * connection never emits `close`.
 *
 * @returns A function that removes the callback.
 */
export function onLeave(response: ServerResponse, callback: () => void): () => void {
  const socket = response.req.socket!;
  const callbacks = clients.get(socket) ?? watch(socket);
  callbacks.add(callback);
  response.on("close", callback);
  return () => {
    callbacks.delete(callback);
    response.off("close", callback);
  };
}

function watch(socket: ClientSocket): Set<() => void> {
  const callbacks = new Set<() => void>();
  clients.set(socket, callbacks);
  socket.on("close", () => {
    for (const callback of [...callbacks]) callback();
  });
  return callbacks;
}

/** Asks the client to use another connection after this response, whose headers are not yet sent. */
export function endConnection(response: ServerResponse): void {
  // HTTP/2 has a frame for it, and no header.
  if (response.stream) response.stream.session?.close();
  else response.setHeader("connection", "close");
}

/**
 * Sends an event stream as the body of a response, at the client's pace. Resolves once the stream
 * has ended. The stream must end when the client leaves.
 */
export function sendBody(stream: EventStream<unknown>, response: ServerResponse): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.start(new Body(stream, response, resolve, reject));
  });
}

/** The body of a response. A class, since a server keeps one for each client. */
class Body implements Sink {
  /** Whether the response takes more bytes before `drain`. */
  hasRoom = true;
  readonly #stream: EventStream<unknown>;
  readonly #response: ServerResponse;
  readonly #resolve: () => void;
  readonly #reject: (reason: unknown) => void;

  constructor(
    stream: EventStream<unknown>,
    response: ServerResponse,
    resolve: () => void,
    reject: (reason: unknown) => void,
  ) {
    this.#stream = stream;
    this.#response = response;
    this.#resolve = resolve;
    this.#reject = reject;
    response.on("drain", this.#drain);
  }

  get isEmpty(): boolean {
    return this.hasRoom;
  }

  write(chunk: Uint8Array): void {
    if (!hasLeft(this.#response)) this.hasRoom = this.#response.write(chunk);
  }

  close(): void {
    this.#response.off("drain", this.#drain);
    if (!hasLeft(this.#response)) this.#response.end();
    this.#resolve();
  }

  fail(error: unknown): void {
    this.#response.off("drain", this.#drain);
    this.#response.destroy();
    this.#reject(error);
  }

  readonly #drain = (): void => {
    this.hasRoom = true;
    this.#stream.resume();
  };
}
