/**
 * Work that nobody waits for.
 *
 * @module
 */

/**
 * Lets work go on in the background. Its rejection is ignored: an unhandled one would end the process
 * on Node and Deno. What goes wrong has to be told by the work itself.
 */
export function inBackground(work: Promise<unknown>): void {
  work.catch(() => {});
}
