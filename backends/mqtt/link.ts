/**
 * One connection to an MQTT server: its requests, its errors and its loss.
 *
 * @module
 */

import type { IConnackPacket, IDisconnectPacket, IPublishPacket, MqttClient } from "mqtt";
import { TemporaryError, UnknownReplyError } from "../../core/backend/errors.ts";
import { AnswerLimit } from "../../core/backend/kit/answer_limit.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import {
  closedFor,
  connectionLost,
  disconnected,
  explain,
  isFault as isFaultOf,
  isUnreadable,
  unreadable,
} from "./errors.ts";

/** The maximum number of unanswered messages, unless the server allows fewer. */
const WINDOW = 65_535;

/** Sends a request with the client, which calls back once. */
type Ask<Value> = (answer: (error?: Error | null, value?: Value) => void) => unknown;

/** The packets that answer requests. */
type Answer = "puback" | "suback" | "unsuback";

/** A request that is not answered yet. */
interface Request {
  readonly answer: Answer;
  readonly reject: (reason: unknown) => void;
}

/** The properties of a server in CONNACK. */
type Properties = NonNullable<IConnackPacket["properties"]>;

/** One connection. Once lost, it stays lost, even if the user's client reconnects. */
export class Link {
  /** The client. */
  readonly client: MqttClient;
  /** Aborts with a `ConnectionError` when the connection is lost or closed. */
  readonly loss: AbortSignal;
  /** The size of the largest packet that the server takes, in bytes, if the server reports it. */
  readonly largest: number | undefined;
  /** Whether a subscription can have an identifier, which distinguishes its messages. */
  readonly hasIdentifiers: boolean;
  readonly #loss = new AbortController();
  readonly #borrowed: boolean;
  readonly #clientId: string | undefined;
  readonly #window: number;
  /** The unanswered requests, in order. */
  readonly #requests = new Set<Request>();
  readonly #limit = new AnswerLimit((error) => this.#giveUp(error));
  #unanswered = 0;
  readonly #waiting: (() => void)[] = [];
  #reason: unknown;
  /** Whether the client could not read an answer. Later data is then meaningless. */
  #isBroken = false;
  /** Resolves once the backend's own client has ended. */
  #ended: Promise<void> | undefined;
  readonly #onError = (error: Error) => this.#break(error);
  readonly #onDisconnect = ({ reasonCode, properties }: IDisconnectPacket) => {
    this.#reason = disconnected(reasonCode, properties);
    if (!this.#borrowed) this.client.stream?.destroy();
  };
  readonly #onClose = () => {
    if (this.#isBroken) return;
    if (this.#clientId !== undefined) this.#reason ??= closedFor(this.#clientId);
    this.#lose();
  };

  /**
   * @param client A connected client.
   * @param properties The properties of the server, if known.
   * @param options Whether the client is the user's, which is never closed, and the client
   * identifier if the user has chosen it.
   */
  constructor(
    client: MqttClient,
    properties: Properties | undefined,
    { borrowed = false, clientId }: { borrowed?: boolean; clientId?: string | undefined },
  ) {
    this.client = client;
    this.#borrowed = borrowed;
    this.#clientId = clientId;
    this.loss = this.#loss.signal;
    this.largest = properties?.maximumPacketSize;
    this.hasIdentifiers = properties?.subscriptionIdentifiersAvailable !== false;
    this.#window = properties?.receiveMaximum ?? WINDOW;
    client.on("error", this.#onError);
    client.on("disconnect", this.#onDisconnect);
    client.on("close", this.#onClose);
    // Disables Nagle's algorithm. With a small window, each message waits for an answer.
    (client.stream as { setNoDelay?: (on: boolean) => unknown }).setNoDelay?.(true);
  }

  /** Whether the connection was lost or closed. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /**
   * Sends a request. Rejects when the connection is lost, since the client leaves requests
   * unanswered.
   *
   * @param answer The packet that answers.
   */
  ask<Value>(answer: Answer, ask: Ask<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      if (this.lost || this.#isBroken) return reject(notSent(this.loss.reason ?? this.#reason));
      const request: Request = { answer, reject };
      this.#requests.add(request);
      // The publisher handles messages without an answer.
      const isLimited = answer !== "puback";
      if (isLimited) this.#limit.sent();
      ask((error, value) => {
        if (isLimited) this.#limit.answered();
        if (!this.#requests.delete(request)) return;
        if (error) reject(explain(answer, error));
        else resolve(value);
      });
    });
  }

  /** Publishes in order, as soon as the server takes one more message. */
  async publishInTurn<Value>(ask: Ask<Value>): Promise<Value | undefined> {
    if (this.#unanswered >= this.#window) {
      const turn = new Promise<void>((resolve) => this.#waiting.push(resolve));
      try {
        await unlessAborted(this.loss, turn);
      } catch (error) {
        throw notSent(error);
      }
    } else this.#unanswered++;
    try {
      return await this.ask("puback", ask);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#unanswered--;
    }
  }

  /** Calls a listener on each message. Returns a function that removes it. */
  listen(
    onMessage: (topic: string, payload: Uint8Array, packet: IPublishPacket) => void,
  ): () => void {
    const listener: typeof onMessage = (...message) => {
      if (!this.#isBroken) onMessage(...message);
    };
    this.client.on("message", listener);
    return () => void this.client.off("message", listener);
  }

  /** Sends a PINGREQ. Destroys the socket if no packet arrives. */
  async probe(signal: AbortSignal): Promise<void> {
    this.loss.throwIfAborted();
    const { client } = this;
    let hear!: () => void;
    const heard = new Promise<void>((resolve) => hear = resolve);
    client.on("packetreceive", hear);
    try {
      client.sendPing();
      await unlessAborted(signal, unlessAborted(this.loss, heard));
    } catch (error) {
      this.#giveUp(error);
      throw this.loss.reason;
    } finally {
      client.off("packetreceive", hear);
    }
  }

  /** Closes the client, unless it is the user's. Resolves once the socket is closed. */
  async close(): Promise<void> {
    this.#lose();
    this.client.off("error", this.#onError);
    this.client.off("disconnect", this.#onDisconnect);
    this.client.off("close", this.#onClose);
    // A connection that cannot be replaced yet is closed before each attempt.
    if (!this.#borrowed) await (this.#ended ??= end(this.client));
  }

  /**
   * Called when the client has failed. After an unreadable answer, it goes on reading at the wrong
   * byte, so the connection is destroyed at once.
   */
  #break(error: Error): void {
    this.#reason ??= error;
    const { stream } = this.client;
    // Other errors of a user's client may be about other requests.
    if (this.lost || this.#isBroken || !(isUnreadable(error) || !this.#borrowed)) return;
    this.#isBroken = true;
    stream?.destroy();
    // Messages that the client has read before are handled in this turn of the event loop.
    setTimeout(() => {
      const [, answer] = /\b(puback|suback)\b/.exec(error.message) ?? [];
      const refused = [...this.#requests].find((request) => request.answer === answer);
      if (refused && isUnreadable(error)) {
        this.#requests.delete(refused);
        refused.reject(unreadable(refused.answer, error));
      }
      this.#lose();
    }, 0);
  }

  /** Destroys the socket. A user's client then connects again. */
  #giveUp(reason: unknown): void {
    this.#reason = reason;
    this.client.stream?.destroy();
    this.#lose();
  }

  #lose(): void {
    if (this.lost) return;
    this.#limit.end();
    const lost = connectionLost(this.#reason);
    this.#loss.abort(lost);
    const { code } = Object(this.#reason) as { code?: unknown };
    for (const { answer, reject } of this.#requests) {
      // A server that ends the connection because of a request would do so again.
      const isFault = answer === "suback" && isFaultOf(code);
      reject(isFault ? new UnknownReplyError(lost.message, { cause: lost.cause }) : lost);
    }
    this.#requests.clear();
  }
}

/** The error of a request that was not sent. */
function notSent(cause: unknown): TemporaryError {
  return new TemporaryError((cause as Error).message, { cause });
}

/** Ends a client at once. Resolves once its socket is closed. */
export async function end(client: MqttClient): Promise<void> {
  client.on("error", () => {});
  const { stream } = client;
  const shut = stream && !stream.closed
    ? new Promise<void>((resolve) => stream.once("close", () => resolve()))
    : undefined;
  await client.endAsync(true);
  stream?.destroy();
  await shut;
  // Once connected, the client reads its store, and starts a timer one turn later.
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setTimeout(resolve, 0));
}
