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

/** The messages that may be unanswered at a time, unless the server allows fewer. */
const WINDOW = 65_535;

/** Asks the client, which calls back once. */
type Ask<Value> = (answer: (error?: Error | null, value?: Value) => void) => unknown;

/** The packets that answer requests. */
type Answer = "puback" | "suback" | "unsuback";

/** A request that is not answered yet. */
interface Request {
  readonly answer: Answer;
  readonly reject: (reason: unknown) => void;
}

/** What a server says of itself in CONNACK. */
type Properties = NonNullable<IConnackPacket["properties"]>;

/** One connection. It stays lost, once it is, even if the user's client reconnects. */
export class Link {
  /** The client. */
  readonly client: MqttClient;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** The size of the largest packet that the server takes, in bytes, if it tells. */
  readonly largest: number | undefined;
  /** Whether a subscription can have an identifier, by which its messages are told apart. */
  readonly hasIdentifiers: boolean;
  readonly #loss = new AbortController();
  readonly #borrowed: boolean;
  readonly #clientId: string | undefined;
  readonly #window: number;
  /** What the server has not answered, in the order in which it was asked. */
  readonly #requests = new Set<Request>();
  readonly #limit = new AnswerLimit((error) => this.#giveUp(error));
  #unanswered = 0;
  readonly #waiting: (() => void)[] = [];
  #reason: unknown;
  /** Whether the client could not read an answer: what it reads from then on means nothing. */
  #isBroken = false;
  /** Resolves once its own client has ended. */
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
   * @param client A client that is connected.
   * @param properties What the server says of itself, if it is known.
   * @param options Whether it is the user's, which is never closed, and the client identifier if the
   * user has chosen it.
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
    // With a small window each message waits for an answer: none may be held back by Nagle.
    (client.stream as { setNoDelay?: (on: boolean) => unknown }).setNoDelay?.(true);
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /**
   * Asks the client. Rejects when the connection is lost: the client leaves requests unanswered.
   *
   * @param answer The packet that answers.
   */
  ask<Value>(answer: Answer, ask: Ask<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      if (this.lost || this.#isBroken) return reject(notSent(this.loss.reason ?? this.#reason));
      const request: Request = { answer, reject };
      this.#requests.add(request);
      // Silence about a message is told by the publisher.
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

  /** Publishes as soon as the server takes one more message, in order. */
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

  /** Calls a listener on each message. Returns a function that stops that. */
  listen(
    onMessage: (topic: string, payload: Uint8Array, packet: IPublishPacket) => void,
  ): () => void {
    const listener: typeof onMessage = (...message) => {
      if (!this.#isBroken) onMessage(...message);
    };
    this.client.on("message", listener);
    return () => void this.client.off("message", listener);
  }

  /** Sends a PINGREQ, and cuts the socket if no packet arrives. */
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

  /** Resolves with the socket shut, unless it is the user's. */
  async close(): Promise<void> {
    this.#lose();
    this.client.off("error", this.#onError);
    this.client.off("disconnect", this.#onDisconnect);
    this.client.off("close", this.#onClose);
    // A connection that cannot be replaced yet is closed before each attempt.
    if (!this.#borrowed) await (this.#ended ??= end(this.client));
  }

  /**
   * The client has failed. It goes on reading after an answer that it cannot read, at the wrong
   * byte, so the connection is cut at once.
   */
  #break(error: Error): void {
    this.#reason ??= error;
    const { stream } = this.client;
    // Other errors of a user's client may be about other requests.
    if (this.lost || this.#isBroken || !(isUnreadable(error) || !this.#borrowed)) return;
    this.#isBroken = true;
    stream?.destroy();
    // What the client has read before is handled in this turn of the event loop.
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

  /** Cuts the socket, also that of a user's client, which connects again. */
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

/** Ends a client at once, and resolves with its socket shut. */
export async function end(client: MqttClient): Promise<void> {
  client.on("error", () => {});
  const { stream } = client;
  const shut = stream && !stream.closed
    ? new Promise<void>((resolve) => stream.once("close", () => resolve()))
    : undefined;
  await client.endAsync(true);
  stream?.destroy();
  await shut;
  // Once connected, the client reads its store, and starts a timer when that is done: a turn later.
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setTimeout(resolve, 0));
}
