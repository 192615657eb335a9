/**
 * The states of a broadcast's connection.
 *
 * @module
 */

/**
 * The state of a broadcast's connection:
 *
 * - `idle`: not used yet, or the first connection failed.
 * - `connecting`: the first connection is being opened.
 * - `connected`: the connection is open.
 * - `reconnecting`: the connection was lost. Reconnecting is retried indefinitely.
 * - `closed`: `disconnect()` was called.
 */
export type BroadcastState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";
