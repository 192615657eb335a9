/**
 * Warnings of the process, on runtimes that have them: Node, Deno and Bun show them on standard error,
 * and `process.on("warning")` receives them.
 *
 * @module
 */

/** Warns of a mistake that is no error. */
export function warn(message: string): void {
  const { process } = globalThis as {
    readonly process?: { emitWarning?(message: string, type: string): void };
  };
  process?.emitWarning?.(message, "BroadcasterWarning");
}
