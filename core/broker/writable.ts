/**
 * The `WritableStream` that publishes messages to a channel.
 *
 * @module
 */

import { onAbort } from "../util/abort.ts";

/** The maximum number of unacknowledged messages. */
const WINDOW = 64;

/** Options of `writableOf()`. */
export interface WritableParts<Message> {
  /** Publishes a message. Settles once the broker has accepted it. */
  readonly publish: (message: Message) => Promise<unknown>;
  /** Errors the stream with its reason when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Resolves once the stream can be written to. */
  readonly start: () => Promise<void>;
  /** Ends the channel after all messages. */
  readonly end?: (() => Promise<unknown>) | undefined;
}

/**
 * Creates a stream that publishes its messages in order. Up to 64 messages can be unacknowledged.
 * Beyond that, a write waits until the broker has accepted the oldest one.
 */
export function writableOf<Message>(
  { publish, signal, start, end }: WritableParts<Message>,
): WritableStream<Message> {
  const underway = new Set<Promise<void>>();
  let forget = () => {};
  let failure: { readonly reason: unknown } | undefined;
  return new WritableStream<Message>({
    async start(controller) {
      signal?.throwIfAborted();
      if (signal) forget = onAbort(signal, () => controller.error(signal.reason));
      try {
        await start();
      } catch (error) {
        forget();
        throw error;
      }
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
