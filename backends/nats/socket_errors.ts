/**
 * Keeps late errors of the client's sockets from ending the process.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

/** The diagnostics channel that reports every socket that is opened. */
const OPENED = "net.client.socket";

const guarded = new AsyncLocalStorage<true>();

/**
 * Runs a function that opens sockets. The client removes its listeners before it destroys a
 * socket. On Deno, an error that arrives after that, such as when a server refuses a login and
 * closes the connection, would be unhandled and end the process.
 */
export async function guard<Value>(open: () => Promise<Value>): Promise<Value> {
  // Sockets that others open meanwhile are opened outside of this run.
  const opened = (message: unknown) => {
    if (guarded.getStore()) hold((message as { socket: Socket }).socket);
  };
  subscribe(OPENED, opened);
  try {
    return await guarded.run(true, open);
  } finally {
    unsubscribe(OPENED, opened);
  }
}

function hold(socket: Socket): void {
  const { removeAllListeners } = socket;
  const ignore = () => {};
  // Given `undefined`, it would remove none.
  socket.removeAllListeners = (...events: []) => {
    removeAllListeners.apply(socket, events);
    return socket.on("error", ignore);
  };
}
