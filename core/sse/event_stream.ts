/**
 * Writes events as the bytes of an event stream, with heartbeats and gap frames.
 *
 * @module
 */

import { checkCount, checkDuration, readOptions } from "../api/options.ts";
import type { BroadcastEvent, Gap } from "../backend/event.ts";
import {
  type EventsInput,
  type EventsReader,
  isClosed,
  isTemporary,
  Opening,
} from "../delivery/opening.ts";
import { type Consumer, Pump } from "../delivery/pump.ts";
import type { Outcome } from "../fanout/reader.ts";
import { onAbort } from "../util/abort.ts";
import { inBackground } from "../util/background.ts";
import type { Names } from "../util/known_options.ts";
import { after } from "../util/timer.ts";
import {
  endFrame,
  type FrameOptions,
  Framer,
  gapFrame,
  HEARTBEAT,
  openingFrame,
  positionFrame,
} from "./frame.ts";

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
   * Reconnection time of the browser's `EventSource`, in whole milliseconds.
   *
   * @default {1000}
   */
  readonly retry?: number | undefined;
  /** Ends the stream and closes the subscription; for example `request.signal`. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `EventStreamOptions`. */
export const EVENT_STREAM_OPTIONS: Names<EventStreamOptions<unknown>> = {
  event: true,
  data: true,
  heartbeat: true,
  retry: true,
  signal: true,
};

/** The destination of the bytes: a web stream, or the response of a Node server. */
export interface Sink {
  /** Whether the sink takes more bytes now. It calls `resume()` when this becomes `true`. */
  readonly hasRoom: boolean;
  /** Whether the client has received all bytes. */
  readonly isEmpty: boolean;
  /** Takes bytes. */
  write(chunk: Uint8Array): void;
  /** Ends the stream. Idempotent. */
  close(): void;
  /** Ends the stream with an error. */
  fail(error: unknown): void;
}

/**
 * An event stream: makes frames of events, joins the frames of one turn, and writes them to the
 * sink.
 */
export class EventStream<Message> implements Consumer<Message> {
  /** Whether the broadcast was disconnected before the events were available. */
  isDisconnected = false;
  readonly #opening: Opening<Message>;
  readonly #framer: Framer<Message>;
  readonly #heartbeat: number;
  readonly #retry: number;
  readonly #report = (channel: string, error: unknown) =>
    this.#opening.reader?.cursor?.onMessageError?.(channel, error);
  #pump: Pump<Message> | undefined;
  #sink: Sink | undefined;
  #chunks: Uint8Array[] = [];
  /** The size of the chunks in bytes. */
  #size = 0;
  #left = false;
  /** Id of the last event, or of the position that the stream started at. */
  #id: string | undefined;
  /** Whether a gap frame was written since the last event. */
  #gapWritten = false;
  /** The time of `performance.now()` when bytes were last written. */
  #writtenAt = 0;
  #stopHeartbeat: (() => void) | undefined;
  #forgetSignal: (() => void) | undefined;

  /**
   * @param events Events to read, or a promise or a function that returns them.
   * @param given Additional options.
   * @param known The names of the options.
   * @throws {TypeError} If the stream is locked, or an option is invalid.
   * @throws {RangeError} If a number is out of range.
   */
  constructor(
    events: EventsInput<BroadcastEvent<Message>>,
    given: EventStreamOptions<Message> | null | undefined,
    known: Names<EventStreamOptions<Message>> = EVENT_STREAM_OPTIONS,
  ) {
    const options = readOptions("write event stream", given, known);
    const { heartbeat = 8_000, retry = 1_000, signal } = options;
    this.#heartbeat = checkDuration("write event stream: option heartbeat", heartbeat);
    this.#retry = checkCount("write event stream: option retry", retry, 0);
    this.#framer = Framer.of(options);
    this.#opening = new Opening(events);
    if (signal) this.#forgetSignal = onAbort(signal, () => inBackground(this.cancel()));
    if (signal?.aborted) inBackground(this.cancel());
  }

  /** Whether the events are available. */
  get isOpen(): boolean {
    return this.#opening.reader !== undefined;
  }

  /**
   * Waits until the events are available or known to be temporarily unavailable, but not longer
   * than a number of milliseconds. Rejects if a retry would not help.
   */
  async opened(milliseconds: number): Promise<void> {
    try {
      await this.#opening.within(milliseconds);
    } catch (error) {
      this.isDisconnected = isClosed(error);
      if (isTemporary(error) || this.#left) return;
      this.#release();
      throw error;
    }
  }

  /** Writes the opening frame, and then all events. */
  start(sink: Sink): void {
    this.#sink = sink;
    if (this.#opening.reader) this.#attach(this.#opening.reader);
    this.#chunks.push(openingFrame(this.#retry, this.#id));
    this.#send();
    if (this.#left) return sink.close();
    this.#beat(this.#heartbeat);
    if (this.#pump) this.#pump.start();
    else inBackground(this.#open());
  }

  /** Called when the sink has room again. */
  resume(): void {
    this.#pump?.resume();
  }

  /**
   * Ends the stream, when the client leaves or the signal aborts. Resolves once the subscription is
   * closed. An error of the result of `pipeThrough()` is ignored.
   */
  async cancel(): Promise<void> {
    const left = this.#leave();
    this.#sink?.close();
    await left;
  }

  /**
   * Waits for the events. If they are temporarily unavailable, ends the stream, so that the browser
   * reconnects.
   */
  async #open(): Promise<void> {
    try {
      const reader = await this.#opening.ready;
      if (this.#left) return;
      this.#attach(reader);
      if (this.#id !== undefined) this.#chunks.push(positionFrame(this.#id));
      this.#send();
      this.#pump!.start();
    } catch (error) {
      if (isTemporary(error)) return await this.cancel();
      this.fail(error);
    }
  }

  #attach(reader: EventsReader<Message>): void {
    this.#pump = new Pump(reader, this);
    const branch = reader.cursor?.branch;
    if (!branch) return;
    this.#id = branch.id;
    const { onGap } = branch;
    branch.onGap = (gap) => {
      onGap?.(gap);
      this.#writeGap(gap);
    };
  }

  /** Whether the sink has room. */
  get hasRoom(): boolean {
    return this.#sink!.hasRoom;
  }

  /** Adds the frame of an event. */
  add(event: BroadcastEvent<Message>): void {
    // `onGap` reports the gaps of a subscription earlier, but not the gaps from before this stream.
    if (event.gap && !this.#gapWritten) this.#chunks.push(gapFrame(event.gap));
    this.#gapWritten = false;
    const size = this.#framer.add(event, this.#chunks, this.#report);
    const before = this.#id;
    this.#id = event.id;
    if (size === undefined) this.#miss(event, before);
    else if ((this.#size += size) >= CHUNK) this.#send();
  }

  /** Writes the frames that were added. */
  flush(now: number): void {
    this.#send(now);
  }

  /** Ends the stream, with a frame if the channel has ended. */
  end({ end }: Outcome): void {
    if (end) this.#chunks.push(endFrame(end.reason));
    this.#send();
    inBackground(this.cancel());
  }

  /** Ends the stream with an error. */
  fail(error: unknown): void {
    if (this.#left) return;
    inBackground(this.#leave());
    this.#sink!.fail(error);
  }

  /**
   * Writes a gap of one for an event that cannot be written. The position after the event follows,
   * so that a browser that reconnects does not get the gap again.
   */
  #miss({ id }: BroadcastEvent<Message>, before: string | undefined): void {
    const gap: Gap = { cause: "unknown", ...before !== undefined && { after: before }, missed: 1 };
    this.#chunks.push(gapFrame(gap), positionFrame(id));
  }

  #writeGap(gap: Gap): void {
    // A second gap adds nothing for a client that has not yet read the first.
    if (this.#gapWritten && !this.#sink!.hasRoom) return;
    this.#gapWritten = true;
    this.#chunks.push(gapFrame(gap));
    if (this.#pump?.isWaiting) this.#send();
  }

  /**
   * Writes a single frame unchanged, since all streams share it. Joins several frames into one
   * chunk.
   */
  #send(now = performance.now()): void {
    const chunks = this.#chunks;
    if (chunks.length === 0) return;
    this.#chunks = [];
    this.#size = 0;
    this.#writtenAt = now;
    this.#sink!.write(chunks.length === 1 ? chunks[0]! : join(chunks));
  }

  /** Writes comments while the stream is idle and its client keeps up. */
  #beat(milliseconds: number): void {
    if (this.#heartbeat === 0) return;
    this.#stopHeartbeat = after(milliseconds, () => {
      // One timer serves all events. Restarting it at each event would cost more than most events
      // do.
      const left = this.#heartbeat - (performance.now() - this.#writtenAt);
      if (left <= 0 && this.#sink!.isEmpty) {
        this.#chunks.push(HEARTBEAT);
        this.#send();
      }
      if (!this.#left) this.#beat(left > 0 ? left : this.#heartbeat);
    });
  }

  #leave(): Promise<void> {
    this.#release();
    return this.#opening.leave();
  }

  #release(): void {
    this.#left = true;
    this.#pump?.stop();
    this.#stopHeartbeat?.();
    this.#forgetSignal?.();
  }
}

/**
 * The frames that were joined last, and their chunk. Streams that keep up write the same frames.
 */
let frames: readonly Uint8Array[] = [];
let joined = new Uint8Array();

function join(chunks: readonly Uint8Array[]): Uint8Array {
  if (isSame(chunks, frames)) return joined;
  frames = chunks;
  joined = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    joined.set(chunk, at);
    at += chunk.length;
  }
  return joined;
}

function isSame(one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean {
  return one.length === other.length && one.every((chunk, index) => chunk === other[index]);
}
