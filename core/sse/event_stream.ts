/**
 * Converts events to the bytes of an event stream, with heartbeats and gap frames.
 *
 * @module
 */

import { SubscriptionCursor } from "../api/iterator.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import { after } from "../util/timer.ts";
import { endFrame, type FrameOptions, Framer, gapFrame, HEARTBEAT, openingFrame } from "./frame.ts";

/** Frames are joined into chunks of about this many bytes. */
const CHUNK = 64 * 1024;

/** Options for `eventStream()`. */
export interface EventStreamOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends FrameOptions<Message, Event> {
  /**
   * Interval in milliseconds at which an idle stream sends a comment; 0 disables it. Some servers
   * close streams that are idle for 10 seconds.
   *
   * @default {8000}
   */
  readonly heartbeat?: number | undefined;
  /**
   * Reconnection time of the browser's `EventSource`, in milliseconds.
   *
   * @default {1000}
   */
  readonly retry?: number | undefined;
  /** Ends the stream and closes the subscription; for example `request.signal`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Underlying source of an event stream. Reads a subscription's cursor directly, and joins the
 * frames that are ready. Buffers nothing for a slow reader: its events stay in the ring.
 */
export class EventStreamSource<Message> implements UnderlyingDefaultSource<Uint8Array> {
  readonly #events: AsyncIterator<BroadcastEvent<Message>>;
  readonly #cursor: SubscriptionCursor<Message> | undefined;
  readonly #framer: Framer<Message>;
  readonly #options: EventStreamOptions<Message>;
  readonly #leave = () => void this.cancel().catch(() => {});
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #chunks: Uint8Array[];
  #waiting = false;
  /** A gap frame was written since the last event. */
  #gapWritten = false;
  #stopHeartbeat: () => void = () => {};

  /**
   * @param events A subscription, or a stream that one was piped through.
   * @param options Additional options.
   */
  constructor(
    events: ReadableStream<BroadcastEvent<Message>>,
    options: EventStreamOptions<Message>,
  ) {
    this.#framer = Framer.of(options);
    this.#events = events[Symbol.asyncIterator]();
    this.#cursor = this.#events instanceof SubscriptionCursor ? this.#events : undefined;
    this.#options = options;
    this.#chunks = [openingFrame(options.retry ?? 1_000, this.#cursor?.branch.id)];
  }

  /** Sends the opening frame. From then on, handles the signal and each gap. */
  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    this.#send();
    const branch = this.#cursor?.branch;
    const onGap = branch?.onGap;
    if (branch) {
      branch.onGap = (gap) => {
        onGap?.(gap);
        this.#writeGap(gap);
      };
    }
    const { signal } = this.#options;
    signal?.addEventListener("abort", this.#leave, { once: true });
    if (signal?.aborted) this.#leave();
  }

  /** Waits for an event, and sends it with all others that are ready. */
  async pull(): Promise<void> {
    try {
      const next = this.#events.next();
      // A gap found by next() is sent now, not with the next event.
      this.#send();
      this.#waiting = true;
      this.#beat();
      const { done, value } = await next;
      this.#waiting = false;
      if (done) return this.#finish();
      this.#add(value);
      this.#takeReady();
      this.#send();
    } catch (error) {
      this.#release();
      // An errored stream cannot be cancelled, so the subscription is closed here.
      this.#events.return?.().catch(() => {});
      throw error;
    } finally {
      this.#waiting = false;
      this.#stopHeartbeat();
    }
  }

  /** Ends the stream: the reader cancelled it, the signal aborted, or both, in any order. */
  async cancel(): Promise<void> {
    this.#close();
    await this.#events.return?.();
  }

  #takeReady(): void {
    let size = 0;
    while (size < CHUNK) {
      const cell = this.#cursor?.branch.take();
      if (!cell) return;
      size += this.#add(cell.value);
    }
  }

  #add(event: BroadcastEvent<Message>): number {
    // A subscription reports gaps by `onGap`, earlier; but not those from before this stream.
    if (event.gap && !this.#gapWritten) this.#chunks.push(gapFrame(event.gap));
    this.#gapWritten = false;
    return this.#framer.add(event, this.#chunks);
  }

  #writeGap(gap: Gap): void {
    // A second gap adds nothing for a client that has not yet read the first.
    if (this.#gapWritten && (this.#controller.desiredSize ?? -1) < 0) return;
    this.#gapWritten = true;
    this.#chunks.push(gapFrame(gap));
    if (this.#waiting) this.#send();
  }

  /** Sends a single frame as is, since all streams share it; joins several into one chunk. */
  #send(): void {
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#chunks = [];
    this.#controller.enqueue(chunks.length === 1 ? chunks[0]! : join(chunks));
  }

  /** Sends comments while the stream is idle and its reader keeps up. */
  #beat(): void {
    const heartbeat = this.#options.heartbeat ?? 8_000;
    if (heartbeat === 0) return;
    this.#stopHeartbeat = after(heartbeat, () => {
      if ((this.#controller.desiredSize ?? -1) >= 0) this.#controller.enqueue(HEARTBEAT);
      this.#beat();
    });
  }

  #finish(): void {
    const end = this.#cursor?.branch.ending.outcome?.end;
    if (end) this.#chunks.push(endFrame(end.reason));
    this.#send();
    this.#close();
  }

  #close(): void {
    this.#release();
    try {
      this.#controller.close();
    } catch {
      // The stream is already closed, cancelled or errored.
    }
  }

  #release(): void {
    this.#stopHeartbeat();
    this.#options.signal?.removeEventListener("abort", this.#leave);
  }
}

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}
