/**
 * Interface of the readers that subscriptions use, and the ways a reader ends.
 *
 * @module
 */

import { GapError } from "../backend/errors.ts";
import type { BroadcastEvent, Delivery, Gap } from "../backend/event.ts";
import type { End } from "../codec/decode.ts";
import { onAbort } from "../util/abort.ts";

/** Result of a read: an event, or done. */
export type Result<Message> = IteratorResult<BroadcastEvent<Message>, undefined>;

/** Callback that resolves a read; also accepts a promise, which may reject. */
export type Waiter<Message> = (result: Result<Message> | Promise<Result<Message>>) => void;

/** Result of a read after the end. */
export const DONE: IteratorReturnResult<undefined> = { value: undefined, done: true };

/** Result of a cancelled read; no event was consumed. Differs from `DONE` by identity. */
export const WITHDRAWN: IteratorReturnResult<undefined> = { value: undefined, done: true };

/** Source of a subscription's events: a branch, or several merged. */
export interface EventReader<Message> {
  /** Id of the position read so far. `undefined` while a gap before it is not reported. */
  readonly id: string | undefined;
  /** Whether and how the reader has ended. */
  readonly ending: Ending<Message>;
  /** Called once, when the reader has ended, to release its signal. */
  onLeave: (() => void) | undefined;
  /**
   * Called for each gap, as soon as the reader has reached it. An error that it throws ends the
   * reader.
   */
  onGap: ((gap: Gap) => void) | undefined;
  /** Reads the next event. Concurrent reads are resolved in order. */
  next(): Promise<Result<Message>>;
  /** Reads the next event with a callback, called synchronously when the event arrives. */
  read(waiter: Waiter<Message>): void;
  /** Returns the next event if one is available, for readers that take several at once. */
  take(): Delivery<Message> | undefined;
  /** Creates a reader at the same position, with the same pending gaps. */
  fork(): EventReader<Message>;
  /** Cancels pending reads: they resolve with `WITHDRAWN`. */
  withdraw(): void;
  /** Ends the reader immediately: reads resolve as done, unread events are dropped. */
  close(): void;
  /** Ends the reader immediately: the next read rejects, unread events are dropped. */
  fail(error: unknown): void;
}

/** Ends a reader when the signal aborts. The signal holds no reference once the reader has ended. */
export function endWith(
  reader: Pick<EventReader<unknown>, "fail" | "onLeave">,
  signal: AbortSignal,
): void {
  reader.onLeave = onAbort(signal, () => reader.fail(signal.reason));
}

/** Outcome of a reader: done, or an error. */
export interface Outcome {
  /** The error; present only if the reader failed, since any value can be thrown. */
  readonly error?: unknown;
  /** End of the channel, if it was reached. No event is missing, and reconnecting is useless. */
  readonly end?: End;
}

/**
 * Outcome of a reader that reached the end of its channel. A pending gap that was not reported is
 * an error, since no later event can carry it.
 *
 * @param end The end.
 * @param gap Gap since the last event.
 * @param onGap The handler that the gap was reported to, if any.
 */
export function finishBehind(end: End, gap: Gap | undefined, onGap: unknown): Outcome {
  return gap && !onGap ? { error: new GapError("to the end", gap) } : { end };
}

/** Whether and how a reader has ended. An error rejects one read. Later reads are done. */
export class Ending<Message> {
  /** Outcome, once the reader has ended. */
  outcome: Outcome | undefined;
  /** Called once, when a read or `close()` has observed the end. */
  onEnd: ((outcome: Outcome) => void) | undefined;
  #ended = false;
  #rejected = false;

  /** Result of a read after the end. */
  conclude(): Promise<Result<Message>> {
    this.end();
    if (!this.outcome || !("error" in this.outcome) || this.#rejected) return Promise.resolve(DONE);
    this.#rejected = true;
    return Promise.reject(this.outcome.error);
  }

  /** Whether the end was observed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Copies the state for a fork. The error also rejects one read of the fork. */
  fork(): Ending<Message> {
    const fork = new Ending<Message>();
    fork.outcome = this.outcome;
    fork.#ended = this.#ended;
    return fork;
  }

  /** Marks the end as observed. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.onEnd?.(this.outcome ?? {});
  }
}
