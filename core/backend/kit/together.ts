/**
 * Combines requests of the same kind.
 *
 * @module
 */

import { turn } from "../../util/timer.ts";

/** The maximum number of names in one request. More would take the server seconds. */
const LARGEST = 512;

/**
 * Sends one request for all names of one turn, such as a thousand channels that are opened at once.
 * Only one request is pending at a time. The next request has all names that were added meanwhile,
 * so a slow server gets fewer requests, not more.
 *
 * @typeParam Answer The answer for all names.
 */
export class Together<Answer> {
  readonly #send: (names: readonly string[]) => Promise<Answer>;
  #latest: Promise<unknown> = Promise.resolve();
  #next: { readonly names: Set<string>; readonly answer: Promise<Answer> } | undefined;

  /** @param send Sends the request for all names. */
  constructor(send: (names: readonly string[]) => Promise<Answer>) {
    this.#send = send;
  }

  /** Asks for a name in the next request. */
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
