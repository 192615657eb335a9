/**
 * Finds tails that the server has forgotten.
 *
 * @module
 */

import { ConnectionError } from "../../errors.ts";

/** A tail, as it is watched. */
export interface Watched {
  /** Its stream. */
  readonly queue: string;
  /** The offset of the newest message that it was sent. */
  readonly reached: number;
  /** Errors it. */
  fail(error: unknown): void;
}

/**
 * A server that drops files which it has yet to send from sends nothing more, for
 * ever, and does not say so. So a tail that was sent something since it was last
 * looked at is held against the end of its stream: one that lies behind that, and
 * is no farther the next time, is errored, to be opened again.
 */
export class Watch {
  readonly #tails = new Set<Watched>();
  /** How far each was when it was last found well, and when it was not. */
  readonly #well = new WeakMap<Watched, number>();
  readonly #behind = new WeakMap<Watched, number>();
  /** An offset that a stream has reached. */
  readonly #end: (queue: string) => Promise<number>;

  /** @param end Tells an offset that a stream has reached, near its end. */
  constructor(end: (queue: string) => Promise<number>) {
    this.#end = end;
  }

  /** Watches a tail. Returns what stops it. */
  add(tail: Watched): () => void {
    this.#tails.add(tail);
    return () => void this.#tails.delete(tail);
  }

  /** Looks at all tails, one after the other. */
  async look(): Promise<void> {
    for (const tail of [...this.#tails]) {
      const { reached } = tail;
      if (this.#well.get(tail) === reached) continue;
      const end = await this.#end(tail.queue);
      if (tail.reached >= end) this.#well.set(tail, tail.reached);
      else if (this.#behind.get(tail) !== reached) this.#behind.set(tail, reached);
      else if (tail.reached === reached) {
        tail.fail(new ConnectionError("the server sends nothing of what the stream has"));
      }
    }
  }
}
