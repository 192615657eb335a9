/**
 * Keeps late errors of the client's sockets from ending the process.
 *
 * @module
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** The diagnostics channel that reports every socket that is opened. */
const OPENED = "net.client.socket";

const guarded = new AsyncLocalStorage<true>();

/** The sockets that were opened for the client, and who learns of the errors of TLS on them. */
const held = new WeakMap<Socket, (error: Error) => void>();

/** The property that both runtimes have: the socket below TLS. */
type WithParent = TLSSocket & { readonly _parent?: Socket };

/** How many functions are being run. */
let running = 0;

/**
 * Runs a function that opens sockets. The client removes its listeners when a socket has TLS, and
 * before it destroys one. On Deno, an error that arrives after that, such as when a server refuses a
 * login or a certificate and closes the connection, would be unhandled and end the process.
 */
export async function guard<Value>(open: () => Promise<Value>): Promise<Value> {
  // Sockets that others open meanwhile are opened outside of this run.
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
    // What the server had against it, which the client did not hear.
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

/** No diagnostics channel reports sockets with TLS: they are met when they lose their listeners. */
function watchTls(): void {
  const { removeAllListeners } = TLSSocket.prototype;
  TLSSocket.prototype.removeAllListeners = function (this: WithParent, ...events: []) {
    const learn = this._parent && held.get(this._parent);
    if (!learn) return removeAllListeners.apply(this, events);
    hold(this, learn);
    return this.removeAllListeners(...events);
  };
}

/** Uncovers the method that is inherited. */
function unwatchTls(): void {
  Reflect.deleteProperty(TLSSocket.prototype, "removeAllListeners");
}

function hold(socket: Socket, onError: (error: Error) => void): void {
  const { removeAllListeners } = Object.getPrototypeOf(TLSSocket.prototype) as Socket;
  // Given `undefined`, it would remove none.
  socket.removeAllListeners = (...events: []) => {
    removeAllListeners.apply(socket, events);
    return socket.on("error", onError);
  };
}
