/**
 * Keeps late errors of the client's sockets from ending the process.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

/** Told of every socket that somebody opens. */
const OPENED = "net.client.socket";

const guarded = new AsyncLocalStorage<true>();

/**
 * Runs what opens sockets. The client takes its listeners off before it destroys
 * one: on Deno, an error that is on its way by then, as of a server that has
 * refused a login and closed, would be nobody's, and end the process.
 */
export async function guard<Value>(open: () => Promise<Value>): Promise<Value> {
  // Whoever else opens one meanwhile does so outside of this run.
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
