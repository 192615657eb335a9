/**
 * Feeds a subscription's `ReadableStream`, for readers that do not use `for await`.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { type EventReader, WITHDRAWN } from "../fanout/reader.ts";

/** Feeds a stream from a branch, for all readers that are not `for await`. */
export class SubscriptionSource<Message> {
  /** What it reads. */
  readonly branch: EventReader<Message>;
  /** The pull under way, if there is one. */
  pulling: Promise<void> | undefined;
  /** The iterator that holds the stream's lock, if one does. */
  cursor: { release(): void } | undefined;
  #controller!: ReadableStreamDefaultController<BroadcastEvent<Message>>;

  /** @param branch What it reads. */
  constructor(branch: EventReader<Message>) {
    this.branch = branch;
    branch.ending.onEnd = (outcome) => this.#end(outcome);
  }

  /** Keeps the controller. */
  start(controller: ReadableStreamDefaultController<BroadcastEvent<Message>>): void {
    this.#controller = controller;
  }

  /** One read of the stream is one of the branch. */
  pull(): Promise<void> {
    this.pulling = this.#pull();
    return this.pulling;
  }

  /** The reader has left. */
  cancel(): void {
    this.branch.close();
  }

  /** Whether the stream holds an event that a reader asked for and did not wait for. */
  get stranded(): boolean {
    return (this.#controller.desiredSize ?? 0) < 0;
  }

  async #pull(): Promise<void> {
    try {
      const result = await this.branch.next();
      if (result !== WITHDRAWN && !result.done) this.#controller.enqueue(result.value);
    } catch {
      // The branch has told its end already.
    } finally {
      this.pulling = undefined;
    }
  }

  #end(outcome: { readonly error?: unknown }): void {
    try {
      if ("error" in outcome) this.#controller.error(outcome.error);
      else this.#controller.close();
    } catch {
      // It was cancelled: there is nobody left to tell.
    }
    this.cursor?.release();
  }
}
