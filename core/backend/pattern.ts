/**
 * Channel patterns, with `*` as the wildcard.
 *
 * @module
 */

import { isControlChannel } from "./control_channel.ts";
import { LONGEST_NAME } from "./name.ts";

/**
 * Matches channel names. `*` matches any run of characters, including an empty one; every other
 * character matches itself. Patterns have the same meaning on every backend, and match no control
 * channel.
 */
export class Pattern {
  /** The pattern as given. */
  readonly text: string;
  /** The text between the stars. Names begin with the first piece and end with the last. */
  readonly pieces: readonly string[];

  /**
   * Parses a pattern.
   *
   * @param text The pattern.
   */
  constructor(text: string) {
    this.text = text;
    this.pieces = text.split("*");
  }

  /**
   * Returns `true` if a channel matches. Takes at most O(name length × pattern length). Names that
   * are too long for a channel match no pattern.
   */
  matches(channel: string): boolean {
    return channel.length <= LONGEST_NAME && this.#matches(channel) && !isControlChannel(channel);
  }

  #matches(channel: string): boolean {
    const { pieces } = this;
    const first = pieces[0]!;
    if (pieces.length === 1) return channel === first;
    const last = pieces.at(-1)!;
    if (channel.length < first.length + last.length) return false;
    if (!channel.startsWith(first) || !channel.endsWith(last)) return false;
    // The leftmost match of each piece leaves the most room for the others.
    let at = first.length;
    const end = channel.length - last.length;
    for (const piece of pieces.slice(1, -1)) {
      const found = channel.indexOf(piece, at);
      if (found < 0 || found + piece.length > end) return false;
      at = found + piece.length;
    }
    return true;
  }

  /** The pattern as given. */
  toString(): string {
    return this.text;
  }
}
