/**
 * Joins requests of the same kind.
 *
 * @module
 */

import { turn } from "../../util/timer.ts";

/** The number of names that one request has at most: more would take the server seconds. */
const LARGEST = 512;

/**
 * Asks once for all names that are asked for in one turn, such as those of a thousand channels that
 * are opened at once. One request is under way at a time: the next one has all names that were asked
 * for meanwhile, so that a slow server gets fewer requests, not more.
 *
 * @typeParam Answer The answer for all names.
 */
export class Together<Answer> {
  readonly #send: (names: readonly string[]) => Promise<Answer>;
  #latest: Promise<unknown> = Promise.resolve();
  #next: { readonly names: Set<string>; readonly answer: Promise<Answer> } | undefined;

  /** @param send Asks for all names. */
  constructor(send: (names: readonly string[]) => Promise<Answer>) {
    this.#send = send;
  }

  /** Asks for a name, with the others of the next request. */
  ask(name: string): Promise<Answer> {
    const { names, answer } = this.#next ??= this.#collect();
    names.add(name);
    if (names.size >= LARGEST) this.#next = undefined;
    return answer;
  }

  #collect(): { readonly names: Set<string>; readonly answer: Promise<Answer> } {
    const names = new Set<string>();
    const answer = Promise.all([turn(), this.#latest]).then(() => {
      if (this.#next?.names === names) this.#next = undefined;
      return this.#send([...names]);
    });
    this.#latest = answer.catch(() => {});
    return { names, answer };
  }
}
