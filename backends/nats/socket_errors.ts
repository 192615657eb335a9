/**
 * Prevents late errors of the client's sockets from ending the process.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** The diagnostics channel that reports every new socket. */
const OPENED = "net.client.socket";

const guarded = new AsyncLocalStorage<true>();

/** The sockets that were opened for the client, with a callback for TLS errors on them. */
const held = new WeakMap<Socket, (error: Error) => void>();

/** The property of both runtimes for the socket below TLS. */
type WithParent = TLSSocket & { readonly _parent?: Socket };

/** The number of functions that are running. */
let running = 0;

/**
 * Runs a function that opens sockets. The client removes its listeners when a socket gets TLS, and
 * before it destroys a socket. On Deno, a later error would then be unhandled and end the process,
 * for example when a server refuses a login or a certificate and closes the connection.
 */
export async function guard<Value>(open: () => Promise<Value>): Promise<Value> {
  // Other code may open sockets meanwhile.
  const opened = (message: unknown) => {
    if (!guarded.getStore()) return;
    const { socket } = message as { socket: Socket };
    held.set(socket, (error) => reason ??= error);
    hold(socket, () => {});
  };
  let reason: Error | undefined;
  subscribe(OPENED, opened);
  if (running++ === 0) watchTls();
  try {
    return await guarded.run(true, open);
  } catch (error) {
    // The server's reason, which the client did not receive.
    throw reason ?? error;
  } finally {
    unsubscribe(OPENED, opened);
    if (--running === 0) {
      unwatchTls();
      // While it is enabled, Node 20 and 22 track every promise of the process.
      guarded.disable();
    }
  }
}

/**
 * No diagnostics channel reports sockets with TLS. Such sockets are found when their listeners are
 * removed.
 */
function watchTls(): void {
  const { removeAllListeners } = TLSSocket.prototype;
  TLSSocket.prototype.removeAllListeners = function (this: WithParent, ...events: []) {
    const learn = this._parent && held.get(this._parent);
    if (!learn) return removeAllListeners.apply(this, events);
    hold(this, learn);
    return this.removeAllListeners(...events);
  };
}

/** Restores the inherited method. */
function unwatchTls(): void {
  Reflect.deleteProperty(TLSSocket.prototype, "removeAllListeners");
}

function hold(socket: Socket, onError: (error: Error) => void): void {
  const { removeAllListeners } = Object.getPrototypeOf(TLSSocket.prototype) as Socket;
  // With the argument `undefined`, it would remove no listener.
  socket.removeAllListeners = (...events: []) => {
    removeAllListeners.apply(socket, events);
    return socket.on("error", onError);
  };
}
