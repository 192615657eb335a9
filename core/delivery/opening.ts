/**
 * Opens the events that are sent to a client: a subscription, a promise of one, or a function that
 * subscribes.
 *
 * @module
 */

import type { SubscriptionCursor } from "../api/iterator.ts";
import type { Subscription } from "../api/subscription.ts";
import type { BroadcastEvent } from "../backend/event.ts";
import { kindOf } from "../util/kind.ts";
import { after } from "../util/timer.ts";

/**
 * Events that are sent to a client: a subscription, the result of its `pipeThrough()`, a promise of
 * either, or a function that returns one of these.
 *
 * A function is called once. Its signal aborts when nothing more is sent, for example because the
 * client has left. Pass it to `subscribe()`.
 *
 * @typeParam Event Type of the events.
 */
export type EventsInput<Event> =
  | ReadableStream<Event>
  | PromiseLike<ReadableStream<Event>>
  | ((signal: AbortSignal) => ReadableStream<Event> | PromiseLike<ReadableStream<Event>>);

/** Reads the events of a stream. */
export interface EventsReader<Message> {
  /** The cursor of a subscription. The result of `pipeThrough()` has none. */
  readonly cursor?: SubscriptionCursor<Message>;
  /** Reads the next event. */
  next(): Promise<IteratorResult<BroadcastEvent<Message>, undefined>>;
  /** Closes the subscription at once, even while a read is pending. */
  leave(): Promise<unknown>;
}

/** Opens events. They can be closed even before they are available. */
export class Opening<Message> {
  /** The reader, once there is one. */
  reader: EventsReader<Message> | undefined;
  /** Resolves with the reader. */
  readonly ready: Promise<EventsReader<Message>>;
  /**
   * Aborts the signal of a function. A stream gets none, since a signal costs a kilobyte on Node.
   */
  readonly #abort: AbortController | undefined;

  /**
   * @param events The events to open.
   * @throws {TypeError} If the argument is neither a stream, nor a promise, nor a function, or if
   * the stream is locked.
   */
  constructor(events: EventsInput<BroadcastEvent<Message>>) {
    if (isStream(events)) {
      this.reader = readerOf(events);
      this.ready = Promise.resolve(this.reader);
      return;
    }
    const { signal } = this.#abort = new AbortController();
    this.ready = this.#open(promiseOf(events, signal), signal);
    // A rejection is handled by the caller that awaits it. After the client has left, nobody awaits
    // it.
    this.ready.catch(() => {});
  }

  /** Waits for the reader, but not longer than a number of milliseconds. Rejects as `ready` does. */
  async within(milliseconds: number): Promise<void> {
    let stop = () => {};
    const late = new Promise<void>((resolve) => stop = after(milliseconds, resolve));
    try {
      await Promise.race([this.ready, late]);
    } finally {
      stop();
    }
  }

  /** Closes the subscription, at once or as soon as it is available. Never rejects. */
  async leave(): Promise<void> {
    const left = this.reader?.leave();
    // Aborted after `leave()`. Otherwise the signal would end the subscription with an error.
    this.#abort?.abort();
    await left?.catch(() => {});
  }

  async #open(
    opening: PromiseLike<ReadableStream<BroadcastEvent<Message>>>,
    signal: AbortSignal,
  ): Promise<EventsReader<Message>> {
    const events = await opening;
    const reader = this.reader = readerOf(events);
    if (signal.aborted) await reader.leave();
    return reader;
  }
}

/**
 * Errors after which a client should retry: the broker cannot be reached, or this process is about
 * to end.
 */
const TEMPORARY = [
  "ConnectionError",
  "ClosedError",
  "TemporaryError",
  "UnknownReplyError",
  "AbortError",
  "TimeoutError",
];

/**
 * Whether an error is temporary, so that the browser should retry. Names are compared, since each
 * realm and each copy of the library has its own classes.
 */
export function isTemporary(error: unknown): boolean {
  const { name } = Object(error) as { readonly name?: unknown };
  return typeof name === "string" && TEMPORARY.includes(name);
}

/** Whether an error says that the broadcast is disconnected, and so the process about to end. */
export function isClosed(error: unknown): boolean {
  return (Object(error) as { readonly name?: unknown }).name === "ClosedError";
}

async function promiseOf<Event>(
  events: Exclude<EventsInput<Event>, ReadableStream<Event>>,
  signal: AbortSignal,
): Promise<ReadableStream<Event>> {
  return await (typeof events === "function" ? events(signal) : events);
}

function isStream<Event>(events: EventsInput<Event>): events is ReadableStream<Event> {
  if (typeof events === "function") return false;
  const { getReader, then } = Object(events) as Partial<ReadableStream & PromiseLike<unknown>>;
  if (typeof getReader === "function") return true;
  if (typeof then === "function") return false;
  throw notEvents(events);
}

/**
 * Reads a subscription through its cursor, and other streams through a reader. The `return()` of
 * their iterator would wait for a pending read, and so for the next event.
 */
function readerOf<Message>(
  events: ReadableStream<BroadcastEvent<Message>>,
): EventsReader<Message> {
  if (typeof Object(events).getReader !== "function") throw notEvents(events);
  const { target, close } = events as Partial<Subscription<Message>>;
  if (target !== undefined && typeof close === "function") {
    return new CursorReader(events.values() as SubscriptionCursor<Message>);
  }
  const reader = events.getReader();
  return {
    next: () => reader.read() as ReturnType<EventsReader<Message>["next"]>,
    leave: () => reader.cancel(),
  };
}

/** Reads a subscription. A class, since a server keeps one for each client. */
class CursorReader<Message> implements EventsReader<Message> {
  readonly cursor: SubscriptionCursor<Message>;

  constructor(cursor: SubscriptionCursor<Message>) {
    this.cursor = cursor;
  }

  next(): ReturnType<EventsReader<Message>["next"]> {
    return this.cursor.next();
  }

  leave(): Promise<unknown> {
    return this.cursor.return();
  }
}

function notEvents(events: unknown): TypeError {
  return new TypeError(
    `Cannot send events: they must be a subscription, a promise of one or a function that returns one, it is ${
      kindOf(events)
    }`,
  );
}
