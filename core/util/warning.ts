/**
 * Process warnings. Node, Deno and Bun print them to standard error, and `process.on("warning")`
 * receives them.
 *
 * @module
 */

/** Warns about a mistake that is not an error. */
export function warn(message: string): void {
  const { process } = globalThis as {
    readonly process?: { emitWarning?(message: string, type: string): void };
  };
  process?.emitWarning?.(message, "BroadcasterWarning");
}
