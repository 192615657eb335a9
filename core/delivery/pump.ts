/**
 * Moves events from a subscription to a client, without a promise for each.
 *
 * @module
 */

import type { SubscriptionCursor } from "../api/iterator.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import type { Outcome, Result } from "../fanout/reader.ts";
import { isThenable } from "../util/realm.ts";
import { soon } from "../util/timer.ts";
import type { EventsReader } from "./opening.ts";

/** The consumer of the events. */
export interface Consumer<Message> {
  /** Whether the consumer takes more events now. It calls `resume()` when this becomes `true`. */
  readonly hasRoom: boolean;
  /** Takes an event. */
  add(event: BroadcastEvent<Message>): void;
  /**
   * Called when no more events are ready in this turn.
   *
   * @param now The time of `performance.now()`, read once for all pumps, since that is slow on
   * Deno.
   */
  flush(now: number): void;
  /** Called at the end of the events. */
  end(outcome: Outcome): void;
  /** Called when the events have failed, or the consumer threw. */
  fail(error: unknown): void;
}

/**
 * Reads a subscription's branch directly, for a consumer that has room. Buffers nothing for a slow
 * client: its events stay in the ring.
 */
export class Pump<Message> {
  /** Whether the pump waits for the next event. */
  isWaiting = false;
  readonly #reader: EventsReader<Message>;
  readonly #cursor: SubscriptionCursor<Message> | undefined;
  readonly #consumer: Consumer<Message>;
  /** Whether the branch is read without its cursor. Only the first event needs the cursor. */
  #isDirect = false;
  #isStopped = false;

  /**
   * @param reader Reads the events.
   * @param consumer Takes the events.
   */
  constructor(reader: EventsReader<Message>, consumer: Consumer<Message>) {
    this.#reader = reader;
    this.#cursor = reader.cursor;
    this.#consumer = consumer;
  }

  /** Waits for the next event. */
  start(): void {
    this.isWaiting = true;
    if (this.#isDirect) this.#cursor!.branch.read(this.#receive);
    else this.#reader.next().then(this.#receive, this.#fail);
  }

  /** Called when the consumer has room again. */
  resume(): void {
    if (!this.isWaiting) this.pump(performance.now());
  }

  /** Stops passing on events. */
  stop(): void {
    this.#isStopped = true;
  }

  /** Called for the next event, synchronously when it arrives. Must not throw. */
  readonly #receive = (result: Result<Message> | Promise<Result<Message>>): void => {
    if (isThenable(result)) return void result.then(this.#receive, this.#fail);
    this.isWaiting = false;
    if (this.#isStopped) return;
    this.#isDirect = this.#cursor !== undefined;
    try {
      if (result.done) return this.#consumer.end(this.#cursor?.branch.ending.outcome ?? {});
      this.#consumer.add(result.value);
    } catch (error) {
      return this.#fail(error);
    }
    // Runs later in this turn, so that events that are published together are sent together.
    if (due.length === 0) soon(pumpAll);
    due.push(this as Pump<unknown>);
  };

  /** Passes on the events that are ready, while there is room. Then waits for the next one. */
  pump(now: number): void {
    if (this.#isStopped) return;
    const consumer = this.#consumer;
    const branch = this.#cursor?.branch;
    try {
      while (consumer.hasRoom) {
        const cell = branch?.take();
        if (cell) consumer.add(cell.value);
        else {
          consumer.flush(now);
          if (consumer.hasRoom && !this.#isStopped) this.start();
          return;
        }
      }
      consumer.flush(now);
    } catch (error) {
      this.#fail(error);
    }
  }

  readonly #fail = (error: unknown): void => {
    if (!this.#isStopped) this.#consumer.fail(error);
  };
}

/** Pumps that have passed on an event in this turn. */
let due: Pump<unknown>[] = [];

function pumpAll(): void {
  const pumps = due;
  due = [];
  const now = performance.now();
  for (const pump of pumps) pump.pump(now);
}
