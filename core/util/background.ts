/**
 * Work that nobody waits for.
 *
 * @module
 */

/**
 * Lets work go on in the background. Its rejection is ignored, since an unhandled one would end the
 * process on Node and Deno. The work itself must report its errors.
 */
export function inBackground(work: Promise<unknown>): void {
  work.catch(() => {});
}
