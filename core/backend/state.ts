/**
 * The states of a broadcast's connection.
 *
 * @module
 */

/**
 * - `idle`: nothing has been used yet, or the first connection failed.
 * - `connecting`: the first connection is being made.
 * - `connected`: it works.
 * - `reconnecting`: the connection was lost and is sought again, for ever.
 * - `closed`: `disconnect()` was called.
 */
export type BroadcastState = "idle" | "connecting" | "connected" | "reconnecting" | "closed";
