/**
 * The tails that share one listening session.
 *
 * @module
 */

import type { Tail, TailOptions, Target } from "../../../core/backend/contract.ts";
import type { Pattern } from "../../../core/backend/pattern.ts";
import { PatternTail } from "./pattern_tail.ts";
import { Tails, type TailsOptions } from "./tails.ts";

/** The tails of channels and of patterns. */
export class SessionTails {
  readonly #options: TailsOptions;
  readonly #tails: Tails;
  readonly #patterns = new Set<PatternTail>();

  /** @param options Options for the tails. */
  constructor(options: TailsOptions) {
    this.#options = options;
    this.#tails = new Tails(options);
  }

  /** Opens the tail of a channel or a pattern. The session must be listening. */
  async open(target: Target, options: TailOptions): Promise<Tail> {
    return typeof target === "string"
      ? await this.#tails.open(target, options)
      : await this.#openPattern(target);
  }

  /** Wakes the tails of channels with new events. */
  wake(channels: readonly string[]): void {
    this.#tails.wake(channels);
    for (const tail of this.#patterns) tail.wake(channels);
  }

  /** Wakes the tails that a hint concerns, or all of them if hints may have been lost. */
  hear(hint?: string): void {
    this.#tails.hear(hint);
    for (const tail of this.#patterns) tail.hear(hint);
  }

  /** Ends all tails, after the items that they have read. The session is lost or closed. */
  lose(error: Error): void {
    this.#tails.lose(error);
    for (const tail of this.#patterns) tail.lose(error);
    this.#patterns.clear();
  }

  async #openPattern(pattern: Pattern): Promise<Tail> {
    const forget = () => void this.#patterns.delete(tail);
    const tail: PatternTail = new PatternTail(pattern, this.#options, forget);
    this.#patterns.add(tail);
    try {
      await tail.open();
    } catch (error) {
      forget();
      tail.lose(error as Error);
      throw error;
    }
    return tail.source;
  }
}
