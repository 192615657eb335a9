/**
 * Source of a subscription's `ReadableStream`, for readers other than `for await`.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import type { EventReader } from "../fanout/reader.ts";
import { isThenable } from "../util/realm.ts";

/** Underlying source of a subscription: reads a branch, for readers other than `for await`. */
export class SubscriptionSource<Message> {
  /** Reader of the events. */
  readonly branch: EventReader<Message>;
  /** Called for each message that an event stream of the subscription cannot write. */
  readonly onMessageError: ((channel: string, error: unknown) => void) | undefined;
  /** Iterator that holds the stream's lock, if any. */
  cursor: { release(): void } | undefined;
  #controller!: ReadableStreamDefaultController<BroadcastEvent<Message>>;
  #stranded: BroadcastEvent<Message> | undefined;

  /**
   * @param branch Reader of the events.
   * @param stranded Event to deliver first.
   * @param onMessageError Called for each message that an event stream cannot write.
   */
  constructor(
    branch: EventReader<Message>,
    stranded?: BroadcastEvent<Message>,
    onMessageError?: (channel: string, error: unknown) => void,
  ) {
    this.branch = branch;
    this.onMessageError = onMessageError;
    this.#stranded = stranded;
    branch.ending.onEnd = (outcome) => this.#end(outcome);
  }

  /** Stores the controller. Ends the stream if the branch has already ended. */
  start(controller: ReadableStreamDefaultController<BroadcastEvent<Message>>): void {
    this.#controller = controller;
    if (this.#stranded) controller.enqueue(this.#stranded);
    const { ended, outcome } = this.branch.ending;
    if (ended) this.#end(outcome!);
  }

  /**
   * Reads one event from the branch. The event is enqueued synchronously, so that it is always
   * either in the ring or in the stream.
   */
  pull(): Promise<void> {
    this.#stranded = undefined;
    return new Promise((resolve) => {
      this.branch.read((result) => {
        resolve();
        // The end is reported by `onEnd`.
        if (isThenable(result)) result.then(undefined, () => {});
        else if (!result.done) this.#enqueue(result.value);
      });
    });
  }

  /** Closes the branch when the stream is cancelled. */
  cancel(): void {
    this.branch.close();
  }

  /** Event in the stream's queue. Its reader released the lock before the event arrived. */
  get stranded(): BroadcastEvent<Message> | undefined {
    return this.#isFull ? this.#stranded : undefined;
  }

  #enqueue(event: BroadcastEvent<Message>): void {
    this.#controller.enqueue(event);
    if (this.#isFull) this.#stranded = event;
  }

  get #isFull(): boolean {
    return (this.#controller.desiredSize ?? 0) < 0;
  }

  #end(outcome: { readonly error?: unknown }): void {
    try {
      if ("error" in outcome) this.#controller.error(outcome.error);
      else this.#controller.close();
    } catch {
      // The stream was cancelled.
    }
    this.cursor?.release();
  }
}
