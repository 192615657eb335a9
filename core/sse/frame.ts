/**
 * Frames of an event stream, as the WHATWG HTML standard defines them
 * ("Server-sent events", 9.2.5 and 9.2.6).
 *
 * @module
 */

import { type BroadcastEvent, type Gap, originOf } from "../backend/event.ts";

const encoder = new TextEncoder();

/** What becomes of an event: its name, if it has one, and its data. */
export interface FrameOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> {
  /** The name that `addEventListener` waits for; without one it is `message`. */
  readonly event?: string | undefined;
  /**
   * Turns a message into text; without it, a string stays as it is, and everything
   * else becomes JSON. The event says which channel it is of; it is called once for
   * all streams that have this function, whatever `id` and `gap` each of them has.
   */
  readonly data?: ((message: Message, event: Event) => string) | undefined;
}

/**
 * Makes frames, each once per event, however many streams carry it.
 *
 * Every newline form in a message becomes a `data:` line of its own, so that no
 * message can forge a field.
 */
export class Framer<Message> {
  readonly #options: FrameOptions<Message>;
  readonly #frames = new WeakMap<object, Uint8Array>();
  /** The frames without an id. */
  readonly #bodies = new WeakMap<object, Uint8Array>();

  /**
   * The framer of these options: streams that have the same share their frames.
   *
   * @throws {TypeError} If the event's name has a line break or a NUL.
   */
  static of<Message>(options: FrameOptions<Message>): Framer<Message> {
    const data = options.data ?? standard;
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
   * Adds the frame of an event, with its id, to others. Where a reader has an id of
   * its own, that is a chunk in front of the frame that all share.
   *
   * @returns How many bytes were added.
   */
  add(event: BroadcastEvent<Message>, chunks: Uint8Array[]): number {
    const frame = this.#frames.get(event);
    if (frame !== undefined) {
      chunks.push(frame);
      return frame.length;
    }
    const origin = originOf(event);
    const isOwn = origin.id !== event.id;
    const frames = isOwn ? this.#bodies : this.#frames;
    let shared = frames.get(origin);
    if (shared === undefined) {
      shared = this.#make(origin, isOwn ? "" : idLine(origin.id));
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
    return encoder.encode(`${name}${line}${dataLines(data(event.message, event))}\n`);
  }
}

/** Framers by the function that makes their data, and by the event's name. */
const framers = new WeakMap<object, Map<string | undefined, Framer<never>>>();

/**
 * The first frame: how soon to come back, and from where. An id without data
 * dispatches nothing, but a browser that received nothing else resumes behind it.
 *
 * @param retry Milliseconds.
 * @param id The position of the stream.
 */
export function openingFrame(retry: number, id: string | undefined): Uint8Array {
  return encoder.encode(`retry: ${retry}\n${id === undefined ? "" : `id: ${id}\n`}\n`);
}

/** A gap: without an id, since it is no position. */
export function gapFrame(gap: Gap): Uint8Array {
  return encoder.encode(`event: gap\n${dataLines(JSON.stringify(gap))}\n`);
}

/** The end: an `EventSource` that does not close itself now comes back in 24 days. */
export const END_FRAME: Uint8Array = encoder.encode(
  `retry: ${2 ** 31 - 1}\nevent: end\ndata: end\n\n`,
);

/** A comment, which keeps the connection alive and dispatches nothing. */
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

function checkField(what: string, value: string): void {
  if (/[\r\n\0]/.test(value)) {
    throw new TypeError(
      `Cannot write event stream: ${what} ${JSON.stringify(value)} has a line break or a NUL`,
    );
  }
}
