/**
 * Sends the events of a subscription to a WebSocket.
 *
 * @module
 */

import { checkCount, readOptions } from "../api/options.ts";
import { type BroadcastEvent, type Gap, mergeGaps, withId } from "../backend/event.ts";
import { reasonOf } from "../backend/errors.ts";
import { nameOf } from "../backend/name.ts";
import { type EventsInput, isTemporary, Opening } from "../delivery/opening.ts";
import { type Consumer, Pump } from "../delivery/pump.ts";
import type { Outcome } from "../fanout/reader.ts";
import { onAbort } from "../util/abort.ts";
import { inBackground } from "../util/background.ts";
import { deferred } from "../util/timer.ts";
import { Messages } from "./messages.ts";
import type { Names } from "../util/known_options.ts";
import { bufferedIn, close, CODES, type EventSocket, hasLeft, isOpen, onChange } from "./socket.ts";

export type { EventsInput } from "../delivery/opening.ts";
export type { EventSocket, SocketData } from "./socket.ts";

/** Options for `sendTo()`. */
export interface SendOptions<Event> {
  /**
   * Converts an event to a message: a text, or bytes. The default is the event as JSON, with its
   * `id`, and with `gap` if events are missing before it.
   *
   * Called once for each event for all sockets that share the function. If it throws, the event is
   * skipped: the broadcast dispatches a `messageerror`, and the next event has a gap of one.
   */
  readonly map?: ((event: Event) => string | Uint8Array) | undefined;
  /**
   * The number of bytes that may wait for a slow client. Beyond that, its socket is closed with the
   * code 1013, so that it reconnects and resumes after the last id that it has seen.
   *
   * @default {1048576}
   */
  readonly maxBuffered?: number | undefined;
  /** Ends the sending and closes the subscription. The socket stays open. */
  readonly signal?: AbortSignal | undefined;
}

/** The names of `SendOptions`. */
const SEND_OPTIONS: Names<SendOptions<never>> = { map: true, maxBuffered: true, signal: true };

/** The events that are being sent to a socket. */
export interface Sending extends AsyncDisposable {
  /** Resolves once nothing more is sent and the subscription is closed. Never rejects. */
  readonly ended: Promise<void>;
  /**
   * Ends the sending and closes the subscription. The socket stays open. Bun's sockets do not
   * report that their client has left, so call it in the handler `close`.
   */
  close(): void;
}

/**
 * Sends the events of a subscription to a WebSocket, until the subscription or the socket ends.
 *
 * The subscription is closed as soon as the client leaves, even if it left before the call. The
 * socket is closed when the events end:
 *
 * | Code | Reason |
 * | --- | --- |
 * | 1000 | The channel has ended; the reason is that of the end. |
 * | 1001 | The subscription was closed, or the broadcast disconnected. |
 * | 1011 | The subscription has failed. |
 * | 1013 | The client did not keep up, or the broker is away: connect again, and resume. |
 *
 * @typeParam Event Type of the events.
 * @param socket The socket; it may still be connecting.
 * @param events A subscription, a promise of one, or a function that subscribes. The function gets a
 * signal that aborts when the client leaves.
 * @param options Additional options.
 * @throws {TypeError} If an option is invalid, or the subscription is locked.
 *
 * @example
 * ```ts ignore
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { sendTo } from "@broadcaster/broadcaster/websocket";
 *
 * const broadcast = new Broadcast("redis://localhost");
 *
 * Deno.serve((request) => {
 *   const { socket, response } = Deno.upgradeWebSocket(request);
 *   const after = new URL(request.url).searchParams.get("after");
 *   sendTo(socket, (signal) => broadcast.subscribe("news", { after, maxResume: 1_000, signal }));
 *   return response;
 * });
 * ```
 */
export function sendTo<Event extends BroadcastEvent<unknown>>(
  socket: EventSocket,
  events: EventsInput<Event>,
  options?: SendOptions<Event> | null,
): Sending {
  return new SocketSending(socket, events, options as SendOptions<never> | null | undefined);
}

/** Sends events while the socket is open. */
class SocketSending implements Sending, Consumer<unknown> {
  readonly #socket: EventSocket;
  readonly #opening: Opening<unknown>;
  readonly #messages: Messages;
  readonly #maxBuffered: number;
  readonly #ended = deferred();
  #pump: Pump<unknown> | undefined;
  /** The gap of the events that were skipped since the last sent event. */
  #gap: Gap | undefined;
  /** Id of the last event. */
  #id: string | undefined;
  #isStarted = false;
  #isOver = false;
  #forgetSocket: () => void = () => {};
  #forgetSignal: () => void = () => {};

  constructor(
    socket: EventSocket,
    events: EventsInput<BroadcastEvent<unknown>>,
    given: SendOptions<never> | null | undefined,
  ) {
    const { map, maxBuffered = 1 << 20, signal } = readOptions(
      "send to WebSocket",
      given,
      SEND_OPTIONS,
    );
    this.#maxBuffered = checkCount("send to WebSocket: option maxBuffered", maxBuffered, 0);
    this.#messages = Messages.of(map);
    this.#socket = socket;
    const isNeeded = !hasLeft(socket) && !signal?.aborted;
    // A client that has left needs no subscription. An existing subscription is closed.
    this.#opening = new Opening(isNeeded || typeof events !== "function" ? events : never);
    if (!isNeeded) {
      this.close();
      return;
    }
    this.#forgetSocket = onChange(socket, () => this.#change());
    if (signal) this.#forgetSignal = onAbort(signal, () => this.close());
    inBackground(this.#open());
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get hasRoom(): boolean {
    return !this.#isOver && isOpen(this.#socket);
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pump?.stop();
    this.#forgetSocket();
    this.#forgetSignal();
    inBackground(this.#opening.leave().then(this.#ended.resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.ended;
  }

  add(event: BroadcastEvent<unknown>): void {
    const { channel, id } = event;
    const before = this.#id;
    this.#id = id;
    const gap = this.#gap && (event.gap ? mergeGaps(this.#gap, event.gap) : this.#gap);
    const told = gap ? withId(event, id, gap) : event;
    let data;
    try {
      data = this.#messages.data(told);
    } catch (cause) {
      const missing: Gap = { cause: "unknown", ...before !== undefined && { after: before } };
      this.#gap = mergeGaps(gap ?? event.gap, { ...missing, missed: 1 });
      const message = `Cannot send event ${id} of ${nameOf(channel)}: ${reasonOf(cause)}`;
      const error = new TypeError(message, { cause });
      return this.#opening.reader?.cursor?.onMessageError?.(channel, error);
    }
    this.#gap = undefined;
    this.#socket.send(data);
    if (bufferedIn(this.#socket) <= this.#maxBuffered) return;
    this.#end(CODES.tryAgain, "the client does not keep up: connect again, and resume");
  }

  flush(): void {}

  end({ end }: Outcome): void {
    if (end) this.#end(CODES.ended, end.reason);
    else this.#end(CODES.goingAway, "the subscription was closed");
  }

  fail(error: unknown): void {
    if (isTemporary(error)) this.#end(CODES.tryAgain, "the broker is away: connect again");
    else this.#end(CODES.failed, "the subscription has failed");
  }

  async #open(): Promise<void> {
    try {
      const reader = await this.#opening.ready;
      if (this.#isOver) return;
      this.#id = reader.cursor?.branch.id;
      this.#pump = new Pump(reader, this);
      this.#change();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Called when the socket has opened, the events are available, or the client has left. */
  #change(): void {
    if (hasLeft(this.#socket)) return this.close();
    if (!this.#pump || this.#isStarted || !isOpen(this.#socket)) return;
    this.#isStarted = true;
    this.#pump.start();
  }

  #end(code: number, reason: string): void {
    if (this.#isOver) return;
    this.close();
    close(this.#socket, code, reason);
  }
}

/** Replaces a subscription that is no longer needed. */
function never(): Promise<never> {
  return Promise.reject(new DOMException("The client has left", "AbortError"));
}
