/**
 * Subscriptions as Server-Sent Events: what `EventSource` reads in a browser.
 *
 * @example A live endpoint
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { eventStreamResponse, lastEventId } from "@broadcaster/broadcaster/sse";
 * import assert from "node:assert/strict";
 *
 * const broadcast = new Broadcast("memory://");
 *
 * async function live(request: Request): Promise<Response> {
 *   const after = lastEventId(request);
 *   const subscription = await broadcast.subscribe("news", { after, foreign: "gap" });
 *   return eventStreamResponse(subscription);
 * }
 *
 * const response = await live(new Request("http://localhost/news"));
 * assert.equal(response.headers.get("content-type"), "text/event-stream");
 * await response.body?.cancel();
 * await broadcast.disconnect();
 * ```
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { isId } from "../backend/id.ts";
import { type EventStreamOptions, EventStreamSource } from "./event_stream.ts";

export type { EventStreamOptions } from "./event_stream.ts";
export type { FrameOptions } from "./frame.ts";

/** Additional options of an event stream's response. */
export interface EventStreamResponseOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends EventStreamOptions<Message, Event> {
  /** Further headers. */
  readonly headers?: ConstructorParameters<typeof Headers>[0] | undefined;
}

/**
 * The bytes of an event stream: one frame per event, with its id, so that a
 * browser that connects again resumes by itself; a frame `event: gap` where
 * events may be missing; comments while nothing happens.
 *
 * The subscription is locked, and closed when the reader leaves or the signal
 * aborts, in whatever order. If the subscription errors, so does the stream.
 *
 * @typeParam Event The events.
 * @param events A subscription, or what a subscription was piped through.
 * @param options Additional options.
 * @throws {TypeError} If the stream is locked, or the event's name has a line break.
 */
export function eventStream<Event extends BroadcastEvent<unknown>>(
  events: ReadableStream<Event>,
  options: EventStreamOptions<Event["message"], Event> = {},
): ReadableStream<Uint8Array> {
  const source = new EventStreamSource(events, options as EventStreamOptions<unknown>);
  // Never a byte stream: that would detach the frame which all streams share.
  return new ReadableStream(source, { highWaterMark: 0 });
}

/**
 * A whole response: status 200, the event stream, and the headers that keep
 * caches and proxies from holding it back.
 *
 * @typeParam Event The events.
 * @param events A subscription, or what a subscription was piped through.
 * @param options Additional options.
 * @throws {TypeError} As `eventStream()` does.
 */
export function eventStreamResponse<Event extends BroadcastEvent<unknown>>(
  events: ReadableStream<Event>,
  options: EventStreamResponseOptions<Event["message"], Event> = {},
): Response {
  const headers = new Headers(options.headers);
  headers.set("content-type", "text/event-stream");
  headers.set("cache-control", "no-cache, no-transform");
  headers.set("x-accel-buffering", "no");
  return new Response(eventStream(events, options) as ReadableStream<Uint8Array<ArrayBuffer>>, {
    headers,
  });
}

/**
 * The id of the last event that a browser has seen: its `Last-Event-ID` header,
 * or else the query parameter `lastEventId`, which a page can set where
 * `EventSource` cannot set headers.
 *
 * @param request The request of an event stream.
 * @returns The id, or `undefined` if there is none or it is not one of ours.
 */
export function lastEventId(request: Request): string | undefined {
  const id = request.headers.get("last-event-id") ||
    new URL(request.url).searchParams.get("lastEventId");
  return id && isId(id) ? id : undefined;
}
