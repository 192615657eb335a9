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
 * function live(request: Request): Promise<Response> {
 *   const after = lastEventId(request);
 *   return eventStreamResponse(
 *     (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }),
 *     { request },
 *   );
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
import type { EventsInput } from "../delivery/opening.ts";
import { inBackground } from "../util/background.ts";
import type { Names } from "../util/known_options.ts";
import { byteStream } from "./byte_stream.ts";
import { EVENT_STREAM_OPTIONS, EventStream, type EventStreamOptions } from "./event_stream.ts";
import {
  endConnection,
  hasLeft,
  onLeave,
  sendBody,
  type ServerResponse,
} from "./server_response.ts";

export type { EventStreamOptions } from "./event_stream.ts";
export type { FrameOptions } from "./frame.ts";
export type { EventsInput } from "../delivery/opening.ts";
export type { ClientSocket, ServerResponse } from "./server_response.ts";

/**
 * How long a response waits for its subscription, in milliseconds. A broker can refuse within this
 * time, and a browser waits as long.
 */
const MOMENT = 1_000;

/** Options for `sendEventStream()`. */
export interface SendEventStreamOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends EventStreamOptions<Message, Event> {
  /** Additional headers. Cannot override `content-type`, `cache-control` and `x-accel-buffering`. */
  readonly headers?: ConstructorParameters<typeof Headers>[0] | undefined;
}

/** The names of `SendEventStreamOptions`. */
const SEND_OPTIONS: Names<SendEventStreamOptions<unknown>> = {
  ...EVENT_STREAM_OPTIONS,
  headers: true,
};

/** Options for `eventStreamResponse()`. */
export interface EventStreamResponseOptions<
  Message,
  Event extends BroadcastEvent<Message> = BroadcastEvent<Message>,
> extends SendEventStreamOptions<Message, Event> {
  /**
   * The request that is answered. If its method is `HEAD`, the response has no body, and nothing is
   * subscribed to. Without this option, some frameworks answer `HEAD` with the response to `GET`,
   * and drop its body without cancelling it.
   */
  readonly request?: { readonly method: string } | undefined;
}

/** The names of `EventStreamResponseOptions`. */
const RESPONSE_OPTIONS: Names<EventStreamResponseOptions<unknown>> = {
  ...SEND_OPTIONS,
  request: true,
};

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
 * The subscription may still be pending: `eventStream(broadcast.subscribe("news"))`, or a function
 * that subscribes. The stream starts at once, and sends comments until the subscription is open. If
 * the broker cannot be reached, the stream ends, and the browser reconnects. Any other error errors
 * the stream. If the stream is cancelled first, the subscription is closed as soon as it is open.
 *
 * @typeParam Event Type of the events.
 * @param events A subscription, the result of its `pipeThrough()`, a promise of either, or a
 * function that returns one of these.
 * @param options Additional options.
 * @returns The event stream, encoded as UTF-8.
 * @throws {TypeError} If the stream is locked, the event name has a line break or a NUL, or an
 * option has a wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function eventStream<Event extends BroadcastEvent<unknown>>(
  events: EventsInput<Event>,
  options?: EventStreamOptions<Event["message"], Event> | null,
): ReadableStream<Uint8Array> {
  return byteStream(sourceOf(events, options, EVENT_STREAM_OPTIONS));
}

/**
 * Creates a response with status 200, the event stream of `eventStream()` as its body, and headers
 * that prevent caching and buffering by proxies.
 *
 * Waits up to a second for a pending subscription. If the broker refuses the subscription, or the
 * channel's name is invalid, the call rejects, and the server can answer with an error status. If
 * the broker cannot be reached, the response is sent. Its stream starts as soon as the broker is
 * back, or ends so that the browser reconnects. An error status would make `EventSource` give up.
 *
 * If the broadcast is disconnected, the process is about to end. The stream ends at once, and the
 * header `connection: close` makes the browser reconnect over another connection. Over the same one
 * it would come back to this process, and keep it running.
 *
 * @typeParam Event Type of the events.
 * @param events A subscription, or the result of its `pipeThrough()`.
 * @param options Additional options.
 * @returns The response.
 * @throws {TypeError} If the stream is locked, the event name has a line break or a NUL, or an
 * option has a wrong type.
 * @throws {RangeError} If a number is out of range.
 */
export function eventStreamResponse<Event extends BroadcastEvent<unknown>>(
  events: ReadableStream<Event>,
  options?: EventStreamResponseOptions<Event["message"], Event> | null,
): Response;
/**
 * Creates a response for a pending subscription. See the first overload.
 *
 * @typeParam Event Type of the events.
 * @param events A promise of a subscription, or a function that returns one. The function gets a
 * signal that aborts when the client leaves.
 * @param options Additional options.
 * @returns Resolves with the response once the subscription is open, or after a second.
 * @throws If the subscription fails within that second, and a retry would not help.
 */
export function eventStreamResponse<Event extends BroadcastEvent<unknown>>(
  events: EventsInput<Event>,
  options?: EventStreamResponseOptions<Event["message"], Event> | null,
): Promise<Response>;
export function eventStreamResponse<Event extends BroadcastEvent<unknown>>(
  events: EventsInput<Event>,
  options?: EventStreamResponseOptions<Event["message"], Event> | null,
): Response | Promise<Response> {
  const headers = headersOf(options);
  const isHead = options?.request?.method === "HEAD";
  if (isHead && typeof events === "function") {
    return Promise.resolve(new Response(null, { headers }));
  }
  const source = sourceOf(events, options, RESPONSE_OPTIONS);
  if (isHead) inBackground(source.cancel());
  const respond = () => {
    if (source.isDisconnected) headers.set("connection", "close");
    return new Response(
      isHead ? null : byteStream(source) as ReadableStream<Uint8Array<ArrayBuffer>>,
      { headers },
    );
  };
  return source.isOpen ? respond() : source.opened(MOMENT).then(respond);
}

/**
 * Sends the event stream of `eventStream()` as the response of a `node:http` or `node:http2`
 * server, at the client's pace. Headers and waiting are the same as in `eventStreamResponse()`. The
 * subscription is closed as soon as the client leaves.
 *
 * If the broadcast is disconnected, HTTP/2 has no header to end the connection. Instead, the session
 * is closed once its streams have ended.
 *
 * @typeParam Event Type of the events.
 * @param response The response. Its headers must not be sent yet. Headers that are set are kept.
 * @param events A subscription, the result of its `pipeThrough()`, a promise of either, or a
 * function that returns one of these. The function gets a signal that aborts when the client
 * leaves. It is not called if the client has left already, or for a `HEAD` request.
 * @param options Additional options.
 * @returns Resolves once the stream has ended or the client has left.
 * @throws If the subscription fails, and a retry would not help. Unless `headersSent`, nothing was
 * sent, and the response can be used for an error status.
 *
 * @example
 * ```ts
 * import { createServer } from "node:http";
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { lastEventId, sendEventStream } from "@broadcaster/broadcaster/sse";
 *
 * const broadcast = new Broadcast("memory://");
 * const server = createServer((request, response) => {
 *   const after = lastEventId(request);
 *   sendEventStream(response, (signal) => broadcast.subscribe("news", { after, signal }))
 *     .catch(() => response.headersSent || response.writeHead(500).end());
 * });
 * await broadcast.disconnect();
 * ```
 */
export async function sendEventStream<Event extends BroadcastEvent<unknown>>(
  response: ServerResponse,
  events: EventsInput<Event>,
  options?: SendEventStreamOptions<Event["message"], Event> | null,
): Promise<void> {
  const headers = headersOf(options);
  const isHead = response.req.method === "HEAD";
  const isNeeded = !isHead && !hasLeft(response);
  if (isNeeded || typeof events !== "function") {
    const source = sourceOf(events, options, SEND_OPTIONS);
    if (isNeeded) return send(source, response, headers);
    await source.cancel();
  }
  if (!isHead) return;
  writeHead(response, headers);
  response.end();
}

async function send(
  source: EventStream<unknown>,
  response: ServerResponse,
  headers: Headers,
): Promise<void> {
  const forget = onLeave(response, () => inBackground(source.cancel()));
  try {
    if (!source.isOpen) await source.opened(MOMENT);
    if (hasLeft(response)) return;
    if (source.isDisconnected) endConnection(response);
    writeHead(response, headers);
    await sendBody(source, response);
  } finally {
    forget();
    // A client can have left before its `close` event, or without one.
    await source.cancel();
  }
}

function writeHead(response: ServerResponse, headers: Headers): void {
  for (const [name, value] of headers) response.setHeader(name, value);
  response.writeHead(200);
}

/**
 * Reads the id of the last event that a browser received. The id is in the header `Last-Event-ID`,
 * or otherwise in the query parameter `lastEventId`. Pages that resume with a new `EventSource` use
 * the parameter, since they cannot set headers.
 *
 * @param request The request for the event stream: a `Request`, a request of `node:http`, or a
 * request of a framework with headers and URL.
 * @returns The id as sent by the client, or `undefined` if there is none. Pass it to `subscribe()`
 * as `after` without validation: with an invalid id, the subscription starts with a gap. Pass
 * `maxResume` as well, since a client can send a very old id.
 */
export function lastEventId(request: RequestHead): string | undefined {
  const { headers, url = "" } = request;
  const header = isHeaders(headers) ? headers.get("last-event-id") : headers["last-event-id"];
  // `new URL()` is not used, since it throws for some paths that a client can send to `node:http`.
  const [, query = ""] = /\?([^#]*)/.exec(url) ?? [];
  return header?.toString() || new URLSearchParams(query).get("lastEventId") || undefined;
}

/** The parts of a request that `lastEventId()` reads. */
export interface RequestHead {
  /** The URL, or its path. */
  readonly url?: string | undefined;
  /** The headers. An object has their names in lower case. */
  readonly headers:
    | { get(name: string): string | null }
    | { readonly [name: string]: string | readonly string[] | undefined };
}

function isHeaders(
  headers: RequestHead["headers"],
): headers is { get(name: string): string | null } {
  return typeof headers.get === "function";
}

function sourceOf<Event extends BroadcastEvent<unknown>>(
  events: EventsInput<Event>,
  options: EventStreamOptions<Event["message"], Event> | null | undefined,
  known: typeof EVENT_STREAM_OPTIONS,
): EventStream<unknown> {
  return new EventStream(events, (options ?? {}) as EventStreamOptions<unknown>, known);
}

function headersOf(
  options: Pick<SendEventStreamOptions<unknown>, "headers"> | null | undefined,
): Headers {
  const headers = new Headers(options?.headers);
  headers.set("content-type", "text/event-stream");
  headers.set("cache-control", "no-cache, no-transform");
  headers.set("x-accel-buffering", "no");
  return headers;
}
