/**
 * Frames of an event stream, as defined by the WHATWG HTML standard
 * ("Server-sent events", 9.2.5 and 9.2.6).
 *
 * @module
 */

import { reasonOf } from "../backend/errors.ts";
import { type BroadcastEvent, type Gap, originOf } from "../backend/event.ts";
import { nameOf } from "../backend/name.ts";
import { kindOf } from "../util/kind.ts";
import { quote } from "../util/quote.ts";

const encoder = new TextEncoder();

/** Options for the frames of an event stream. */
export interface FrameOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> {
  /**
   * Event type that the client passes to `addEventListener()`.
   *
   * @default {"message"}
   */
  readonly event?: string | undefined;
  /**
   * Customizes the `data` of a frame. By default, strings are sent as they are, and other messages
   * as JSON.
   *
   * Called once per event for all streams that share the function, so the result must not depend on
   * `event.id` or `event.gap`, which may differ per stream.
   *
   * If the function throws, or if a message has no JSON, such as a bigint or a value that is nested
   * too deeply, the event is skipped. The broadcast then dispatches a `messageerror`, and the
   * stream has a gap of one.
   */
  readonly data?: ((message: Message, event: Event) => string) | undefined;
}

/**
 * Encodes events as frames, once per event, however many streams send it.
 *
 * Data is split into `data:` lines at every form of newline, so that messages cannot inject fields.
 */
export class Framer<Message> {
  readonly #options: FrameOptions<Message>;
  readonly #frames = new WeakMap<object, Uint8Array>();
  /** Frames without an id. */
  readonly #bodies = new WeakMap<object, Uint8Array>();
  /** The latest event with a frame, and the frame. */
  #latest: object | undefined;
  #frame: Uint8Array | undefined;
  /** Events that cannot be written as a frame. */
  readonly #failed = new WeakSet<object>();

  /**
   * Returns the framer for these options. Streams with the same options share the framer and its
   * frames.
   *
   * @throws {TypeError} If the event name has a line break or a NUL.
   */
  static of<Message>(options: FrameOptions<Message>): Framer<Message> {
    const { data = standard } = options;
    if (typeof data !== "function") {
      throw new TypeError(
        `Cannot write event stream: option data must be a function, it is ${kindOf(data)}`,
      );
    }
    const named = framers.get(data) ?? new Map<string | undefined, Framer<never>>();
    framers.set(data, named);
    const framer = named.get(options.event) ?? new Framer<Message>(options) as Framer<never>;
    named.set(options.event, framer);
    return framer as unknown as Framer<Message>;
  }

  private constructor(options: FrameOptions<Message>) {
    if (options.event !== undefined) checkField("event name", options.event);
    this.#options = options;
  }

  /**
   * Appends the frame of an event to `chunks`. If the id is specific to the reader, it is a separate
   * chunk before the shared frame.
   *
   * @param report Called once for all streams, with the channel and the error, if no frame can be
   * made of the event.
   * @returns The number of bytes added; undefined if no frame can be made.
   */
  add(
    event: BroadcastEvent<Message>,
    chunks: Uint8Array[],
    report: (channel: string, error: unknown) => void,
  ): number | undefined {
    // Streams write the same event one after the other, so the latest frame is kept.
    const frame = event === this.#latest ? this.#frame : this.#frames.get(event);
    if (frame !== undefined) {
      this.#latest = event;
      this.#frame = frame;
      chunks.push(frame);
      return frame.length;
    }
    const origin = originOf(event);
    if (this.#failed.has(origin)) return undefined;
    const isOwn = origin.id !== event.id;
    const frames = isOwn ? this.#bodies : this.#frames;
    let shared = frames.get(origin);
    if (shared === undefined) {
      const line = isOwn ? "" : idLine(origin.id);
      try {
        shared = this.#make(origin, line);
      } catch (cause) {
        this.#failed.add(origin);
        report(origin.channel, unwritableError(origin, cause));
        return undefined;
      }
      frames.set(origin, shared);
    }
    const line = isOwn ? encoder.encode(idLine(event.id)) : undefined;
    if (line) chunks.push(line);
    chunks.push(shared);
    return (line?.length ?? 0) + shared.length;
  }

  #make(event: BroadcastEvent<Message>, line: string): Uint8Array {
    const { event: type, data = standard } = this.#options;
    const name = type === undefined ? "" : `event: ${type}\n`;
    const text: unknown = data(event.message, event);
    if (typeof text !== "string") {
      throw new TypeError(`option data must return a string, it returned ${kindOf(text)}`);
    }
    return encoder.encode(`${name}${line}${dataLines(text)}\n`);
  }
}

/** Framers by `data` function and event name. */
const framers = new WeakMap<object, Map<string | undefined, Framer<never>>>();

/**
 * First frame: the reconnection time, and the position of the stream. An id without data dispatches
 * no event, but a browser that receives nothing else resumes after it.
 *
 * @param retry Reconnection time in milliseconds.
 * @param id Position of the stream.
 */
export function openingFrame(retry: number, id: string | undefined): Uint8Array {
  return encoder.encode(`retry: ${retry}\n${id === undefined ? "" : `id: ${id}\n`}\n`);
}

/** Frame of a position: the browser resumes after it. Dispatches no event. */
export function positionFrame(id: string): Uint8Array {
  return encoder.encode(`${idLine(id)}\n`);
}

/** Frame of a gap. Has no id, since a gap is not a position. */
export function gapFrame(gap: Gap): Uint8Array {
  return encoder.encode(`event: gap\n${dataLines(JSON.stringify(gap))}\n`);
}

/**
 * Frame of a channel's end. Sets the longest reconnection time (24 days), for clients that do not
 * close their `EventSource`. The data is the reason, or `end` if there is none, since some clients
 * ignore events without data.
 */
export function endFrame(reason: string): Uint8Array {
  return encoder.encode(`retry: ${2 ** 31 - 1}\nevent: end\n${dataLines(reason || "end")}\n`);
}

/** Comment that keeps the connection alive; dispatches no event. */
export const HEARTBEAT: Uint8Array = encoder.encode(":\n\n");

function idLine(id: string): string {
  checkField("event id", id);
  return `id: ${id}\n`;
}

function dataLines(text: string): string {
  let lines = "";
  for (const line of text.split(/\r\n|\r|\n/)) lines += `data: ${line}\n`;
  return lines;
}

function standard(message: unknown): string {
  return typeof message === "string" ? message : JSON.stringify(message) ?? "";
}

function unwritableError({ channel }: BroadcastEvent<unknown>, cause: unknown): TypeError {
  return new TypeError(
    `Cannot write event of ${nameOf(channel)} to event stream: ${reasonOf(cause)}`,
    { cause },
  );
}

function checkField(what: string, value: string): void {
  if (typeof value !== "string") {
    throw new TypeError(
      `Cannot write event stream: ${what} must be a string, it is ${kindOf(value)}`,
    );
  }
  if (/[\r\n\0]/.test(value)) {
    throw new TypeError(
      `Cannot write event stream: ${what} ${quote(value)} has a line break or a NUL`,
    );
  }
}
