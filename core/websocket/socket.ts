/**
 * The sockets of all platforms: the members that `sendTo()` uses, and their differences.
 *
 * @module
 */

/**
 * The data of one message. Newer sockets take a `Uint8Array<ArrayBuffer>`, which TypeScript before
 * 5.7 does not have.
 */
export type SocketData = string | Uint8Array & { readonly buffer: ArrayBuffer };

/** A WebSocket of the platform, of Deno, of the package `ws`, or Bun's `ServerWebSocket`. */
export interface EventSocket {
  /** The state of the socket: 0 while it connects, 1 while it is open. */
  readonly readyState: number;
  /** Number of bytes that wait to be sent. */
  readonly bufferedAmount?: number | undefined;
  /** Number of bytes that wait to be sent, on Bun. */
  getBufferedAmount?(): number;
  /** Sends a message. */
  send(data: SocketData): unknown;
  /** Closes the socket. */
  close(code?: number, reason?: string): unknown;
  /** Adds a listener; Bun's sockets have none. */
  addEventListener?(type: "open" | "close" | "error", listener: () => void): void;
  /** Removes a listener. */
  removeEventListener?(type: "open" | "close" | "error", listener: () => void): void;
}

/** The codes for closing sockets. */
export const CODES = {
  /** The channel has ended. */
  ended: 1000,
  /** The subscription was closed, or the broadcast disconnected. */
  goingAway: 1001,
  /** The subscription has failed. */
  failed: 1011,
  /** The client did not keep up, or the broker cannot be reached. The client may reconnect. */
  tryAgain: 1013,
} as const;

/** The maximum length of a close reason in bytes (RFC 6455). */
const LONGEST_REASON = 123;

/** Whether the socket is open. */
export function isOpen({ readyState }: EventSocket): boolean {
  return readyState === 1;
}

/** Whether the socket is closed, or about to be. */
export function hasLeft({ readyState }: EventSocket): boolean {
  return readyState > 1;
}

/** The number of bytes that wait to be sent. */
export function bufferedIn(socket: EventSocket): number {
  return socket.bufferedAmount ?? socket.getBufferedAmount?.() ?? 0;
}

/** Closes a socket. The reason is cut to the limit of a close frame. */
export function close(socket: EventSocket, code: number, reason: string): void {
  if (hasLeft(socket)) return;
  let cut = reason;
  while (new TextEncoder().encode(cut).length > LONGEST_REASON) cut = cut.slice(0, -1);
  socket.close(code, cut.isWellFormed() ? cut : cut.slice(0, -1));
}

/**
 * Calls back when a socket opens or closes, if the socket reports it.
 *
 * @returns A function that removes the callback.
 */
export function onChange(socket: EventSocket, callback: () => void): () => void {
  const types = ["open", "close", "error"] as const;
  for (const type of types) socket.addEventListener?.(type, callback);
  return () => {
    for (const type of types) socket.removeEventListener?.(type, callback);
  };
}
