/**
 * How a reader ended.
 *
 * @module
 */

import { GapError } from "./errors.ts";
import type { Gap } from "./event.ts";
import { DONE, type Result } from "./read.ts";

/** Done, or with an error. */
export interface Outcome {
  /** Why, if it is one: whatever was thrown. */
  readonly error?: unknown;
  /** Whether its channel was ended: nothing is missing, and coming back is of no use. */
  readonly finished?: boolean;
}

/**
 * How a reader ends whose channel was ended.
 *
 * @param gap What it has met since its last event: no other event will carry that.
 * @param onGap Who was told of it.
 */
export function finishBehind(gap: Gap | undefined, onGap: unknown): Outcome {
  return gap && !onGap ? { error: new GapError("to the end", gap) } : { finished: true };
}

/** How a reader ended, and whether it has learned of it: an error is told once, then it is done. */
export class Ending<Message> {
  /** How, once it has. */
  outcome: Outcome | undefined;
  /** Called once, when it has ended for its reader. */
  onEnd: ((outcome: Outcome) => void) | undefined;
  #ended = false;
  #told = false;

  /** What a read behind the end resolves with. */
  conclude(): Promise<Result<Message>> {
    this.end();
    if (!this.outcome || !("error" in this.outcome) || this.#told) return Promise.resolve(DONE);
    this.#told = true;
    return Promise.reject(this.outcome.error);
  }

  /** It has ended for its reader. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onEnd?.(this.outcome ?? {});
  }
}
