/**
 * The interface that a subscription reads events from, and how a reader ends.
 *
 * @module
 */

import { GapError } from "../backend/errors.ts";
import type { BroadcastEvent, Delivery, Gap } from "../backend/event.ts";
import { onAbort } from "../util/abort.ts";

/** An event, or the end. */
export type Result<Message> = IteratorResult<BroadcastEvent<Message>, undefined>;

/** Resolves a read; with a promise that rejects, too. */
export type Waiter<Message> = (result: Result<Message> | Promise<Result<Message>>) => void;

/** The end. */
export const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true };

/** What a read that was withdrawn resolves with, told from `DONE` by identity. It has taken nothing. */
export const WITHDRAWN: IteratorReturnResult<undefined> = { value: undefined, done: true };

/** What a subscription reads: a branch, or several merged. */
export interface EventReader<Message> {
  /** The id that stands for what it has read; none while a gap before it was not told. */
  readonly id: string | undefined;
  /** How it ended, once it has. */
  readonly ending: Ending<Message>;
  /** Called once, when nothing will be read from it any more. */
  onLeave: (() => void) | undefined;
  /** Told of each gap, as soon as the reader waits at its place. What it throws ends the reader. */
  onGap: ((gap: Gap) => void) | undefined;
  /** The next event; reads that overlap are answered in their order. */
  next(): Promise<Result<Message>>;
  /** The next event if there is one already, for readers that take several at once. */
  take(): Delivery<Message> | undefined;
  /** Takes the reads that wait back: they resolve with `WITHDRAWN`. */
  withdraw(): void;
  /** Ends it at once: reads resolve as done, what was not read is dropped. */
  close(): void;
  /** Ends it at once: the next read rejects, what was not read is dropped. */
  fail(error: unknown): void;
}

/** A signal ends a reader for as long as there is one, and holds on to it no longer. */
export function endWith(
  reader: Pick<EventReader<unknown>, "fail" | "onLeave">,
  signal: AbortSignal,
): void {
  const forget = onAbort(signal, () => reader.fail(signal.reason));
  const leave = reader.onLeave;
  reader.onLeave = () => {
    forget();
    leave?.();
  };
}

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
