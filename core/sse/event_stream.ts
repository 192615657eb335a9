/**
 * Turns events into the bytes of an event stream, with heartbeats and gap frames.
 *
 * @module
 */

import { SubscriptionCursor } from "../api/iterator.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import { after } from "../util/timer.ts";
import {
  END_FRAME,
  type FrameOptions,
  Framer,
  gapFrame,
  HEARTBEAT,
  openingFrame,
} from "./frame.ts";

/** What is joined into one chunk at most. */
const CHUNK = 64 * 1024;

/** Additional options of an event stream. */
export interface EventStreamOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends FrameOptions<Message, Event> {
  /**
   * How often an idle stream sends a comment, in milliseconds; 0 for never.
   * Some servers close a stream that is idle for 10 seconds.
   *
   * @default {8000}
   */
  readonly heartbeat?: number | undefined;
  /**
   * How long a browser waits before it connects again, in milliseconds.
   *
   * @default {1000}
   */
  readonly retry?: number | undefined;
  /** Ends the stream, and the subscription: a request's signal. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Pulls from a subscription's cursor itself, and joins the frames that are
 * ready. Nothing waits here for a reader that is slow: it waits in the ring.
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
  /** Whether a gap was told since the last event. */
  #told = false;
  #stopHeartbeat: () => void = () => {};

  /**
   * @param events A subscription, or what one was piped through.
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

  /** Sends the opening frame, and from now on heeds the signal and each gap. */
  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    this.#send();
    const branch = this.#cursor?.branch;
    const onGap = branch?.onGap;
    if (branch) {
      branch.onGap = (gap) => {
        onGap?.(gap);
        this.#tell(gap);
      };
    }
    const { signal } = this.#options;
    signal?.addEventListener("abort", this.#leave, { once: true });
    if (signal?.aborted) this.#leave();
  }

  /** Waits for an event, and takes along what else is ready. */
  async pull(): Promise<void> {
    try {
      const next = this.#events.next();
      // A gap that lies before the wait goes out now, not with the next event.
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
      // Nobody reads the subscription any more, nor can anybody cancel a stream that has errored.
      this.#events.return?.().catch(() => {});
      throw error;
    } finally {
      this.#waiting = false;
      this.#stopHeartbeat();
    }
  }

  /** The reader has left, or the signal says so, or both in whatever order. */
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
    // A subscription tells of its gaps itself, and sooner.
    if (event.gap && !this.#cursor) this.#chunks.push(gapFrame(event.gap));
    this.#told = false;
    return this.#framer.add(event, this.#chunks);
  }

  #tell(gap: Gap): void {
    // To a client that has not read it yet, one more gap says nothing new.
    if (this.#told && (this.#controller.desiredSize ?? -1) < 0) return;
    this.#told = true;
    this.#chunks.push(gapFrame(gap));
    if (this.#waiting) this.#send();
  }

  /** One frame goes out as it is, shared with every other stream; several are joined. */
  #send(): void {
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#chunks = [];
    this.#controller.enqueue(chunks.length === 1 ? chunks[0]! : join(chunks));
  }

  /** Comments for as long as nothing comes and somebody reads. */
  #beat(): void {
    const heartbeat = this.#options.heartbeat ?? 8_000;
    if (heartbeat === 0) return;
    this.#stopHeartbeat = after(heartbeat, () => {
      if ((this.#controller.desiredSize ?? -1) >= 0) this.#controller.enqueue(HEARTBEAT);
      this.#beat();
    });
  }

  #finish(): void {
    if (this.#cursor?.branch.ending.outcome?.finished) this.#chunks.push(END_FRAME);
    this.#send();
    this.#close();
  }

  #close(): void {
    this.#release();
    try {
      this.#controller.close();
    } catch {
      // It is closed, cancelled or errored already.
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
