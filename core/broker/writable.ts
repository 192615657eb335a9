/**
 * The `WritableStream` of messages into a channel.
 *
 * @module
 */

import { onAbort } from "../util/abort.ts";

/** How many messages may be on their way to the broker at a time. */
const WINDOW = 64;

/** What a stream of messages needs to know. */
export interface WritableParts<Message> {
  /** Publishes one; settles once the broker has accepted it. */
  readonly publish: (message: Message) => Promise<unknown>;
  /** Ends the stream with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Settles once it is known that the stream can be written. */
  readonly start: () => Promise<void>;
  /** Ends the channel, behind all that was written. */
  readonly end?: (() => Promise<unknown>) | undefined;
}

/**
 * A stream whose messages are published, in their order. As many as a window
 * are on their way at a time: past that, a write waits until the broker has
 * accepted the oldest of them.
 */
export function writableOf<Message>(
  { publish, signal, start, end }: WritableParts<Message>,
): WritableStream<Message> {
  const underway = new Set<Promise<void>>();
  let forget = () => {};
  let failure: { readonly reason: unknown } | undefined;
  return new WritableStream<Message>({
    start(controller) {
      signal?.throwIfAborted();
      if (signal) forget = onAbort(signal, () => controller.error(signal.reason));
      return start();
    },
    async write(message, controller) {
      const published = publish(message).then(
        () => void underway.delete(published),
        (reason) => {
          forget();
          failure ??= { reason };
          controller.error(reason);
        },
      );
      underway.add(published);
      if (underway.size >= WINDOW) await underway.values().next().value;
    },
    async close() {
      forget();
      await Promise.all(underway);
      if (failure) throw failure.reason;
      await end?.();
    },
    abort: () => forget(),
  });
}
