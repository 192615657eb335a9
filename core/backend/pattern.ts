/**
 * Channel patterns, with `*` as the wildcard.
 *
 * @module
 */

/**
 * Stands for all channels whose names match: `*` for any run of characters, the
 * empty one included, everything else for itself. The same on every backend.
 */
export class Pattern {
  /** As it was given. */
  readonly text: string;
  /** What stands between the stars: the first is how every name begins, the last how it ends. */
  readonly pieces: readonly string[];

  /**
   * Reads a pattern.
   *
   * @param text The pattern.
   */
  constructor(text: string) {
    this.text = text;
    this.pieces = text.split("*");
  }

  /** Whether it stands for a channel. Takes no longer than the name times the pattern. */
  matches(channel: string): boolean {
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

  /** As it was given. */
  toString(): string {
    return this.text;
  }
}
