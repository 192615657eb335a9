/**
 * Sends subscriptions as Server-Sent Events, for `EventSource` in browsers.
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
 *   const subscription = await broadcast.subscribe("news", { after });
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
import { type EventStreamOptions, EventStreamSource } from "./event_stream.ts";

export type { EventStreamOptions } from "./event_stream.ts";
export type { FrameOptions } from "./frame.ts";

/** Options for `eventStreamResponse()`. */
export interface EventStreamResponseOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends EventStreamOptions<Message, Event> {
  /** Additional headers. Cannot override `content-type`, `cache-control` and `x-accel-buffering`. */
  readonly headers?: ConstructorParameters<typeof Headers>[0] | undefined;
}

/**
 * Converts a subscription to a stream of bytes in the event stream format.
 *
 * - Each event is a frame with its id, so that browsers resume automatically when they reconnect.
 * - A frame `event: gap` marks where events may be missing. Its data is the `Gap` as JSON.
 * - A frame `event: end` is the last one if the channel is ended. Its data is the reason, or `end`
 *   if there is none.
 * - Comments keep an idle connection alive.
 *
 * The subscription is locked. It is closed when the stream is cancelled or the signal aborts. If
 * the subscription errors, so does the stream.
 *
 * @typeParam Event Type of the events.
 * @param events A subscription, or a stream that one was piped through.
 * @param options Additional options.
 * @returns The event stream, encoded as UTF-8.
 * @throws {TypeError} If the stream is locked, or the event name has a line break or a NUL.
 */
export function eventStream<Event extends BroadcastEvent<unknown>>(
  events: ReadableStream<Event>,
  options: EventStreamOptions<Event["message"], Event> = {},
): ReadableStream<Uint8Array> {
  const source = new EventStreamSource(events, options as EventStreamOptions<unknown>);
  // Not a byte stream: that would detach the frame that all streams share.
  return new ReadableStream(source, { highWaterMark: 0 });
}

/**
 * Creates a response with status 200, the event stream of `eventStream()` as its body, and headers
 * that prevent caching and buffering by proxies.
 *
 * @typeParam Event Type of the events.
 * @param events A subscription, or a stream that one was piped through.
 * @param options Additional options.
 * @returns The response.
 * @throws {TypeError} If the stream is locked, or the event name has a line break or a NUL.
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
 * Reads the id of the last event that a browser received: the `Last-Event-ID` header, or otherwise
 * the query parameter `lastEventId`, for pages that resume with a new `EventSource`, which cannot
 * set headers.
 *
 * @param request The request for the event stream.
 * @returns The id as sent by the client, or `undefined` if there is none. It need not be validated
 * before it is passed to `subscribe()` as `after`: an invalid id starts as if none had been given,
 * with a gap.
 */
export function lastEventId(request: Request): string | undefined {
  return request.headers.get("last-event-id") ||
    new URL(request.url).searchParams.get("lastEventId") || undefined;
}
