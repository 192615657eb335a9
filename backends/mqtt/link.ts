/**
 * One connection to an MQTT server: its requests, its errors and its loss.
 *
 * @module
 */

import type { IConnackPacket, IPublishPacket, MqttClient } from "mqtt";
import { ConnectionError, RefusedError } from "../../core/backend/errors.ts";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";

/** What a server says that is too busy, or about to stop: another try may help. */
const BUSY = [0x88, 0x89, 0x97, 0x9f];
/** How many messages may be without an answer, unless the server says less. */
const WINDOW = 65_535;

/** Asks the client, which answers once. */
type Ask<Value> = (answer: (error?: Error | null, value?: Value) => void) => unknown;

/** One connection. Once it is lost, it stays so. */
export class Link {
  /** The client. */
  readonly client: MqttClient;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** What the server takes as one packet, in bytes, if it says so. */
  readonly largest: number | undefined;
  readonly #loss = new AbortController();
  readonly #borrowed: boolean;
  readonly #window: number;
  #unanswered = 0;
  readonly #waiting: (() => void)[] = [];
  #reason: unknown;
  readonly #onError = (error: Error) => this.#reason = error;
  readonly #onClose = () => this.#lose();

  /**
   * @param client A client that is connected.
   * @param connack What the server has said.
   * @param borrowed Whether it is the user's: it is never closed.
   */
  constructor(client: MqttClient, connack: IConnackPacket | undefined, borrowed: boolean) {
    this.client = client;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.largest = connack?.properties?.maximumPacketSize;
    this.#window = connack?.properties?.receiveMaximum ?? WINDOW;
    client.on("error", this.#onError);
    client.on("close", this.#onClose);
    // With a small window each answer is waited for, and none may wait in turn.
    (client.stream as { setNoDelay?: (on: boolean) => unknown }).setNoDelay?.(true);
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /** Asks the client, which leaves what is under way unanswered when the connection is lost. */
  ask<Value>(ask: Ask<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      if (this.lost) return reject(this.loss.reason);
      const forget = onAbort(this.loss, () => reject(this.loss.reason));
      ask((error, value) => {
        forget();
        if (error) reject(explain(error, this.#lostError(error)));
        else resolve(value);
      });
    });
  }

  /** Asks as soon as the server takes one more, in order. */
  async askInTurn<Value>(ask: Ask<Value>): Promise<Value | undefined> {
    if (this.#unanswered >= this.#window) {
      await unlessAborted(this.loss, new Promise<void>((resolve) => this.#waiting.push(resolve)));
    } else this.#unanswered++;
    try {
      return await this.ask(ask);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#unanswered--;
    }
  }

  /** Calls back on each message, until what it returns is called. */
  listen(
    onMessage: (topic: string, payload: Uint8Array, packet: IPublishPacket) => void,
  ): () => void {
    this.client.on("message", onMessage);
    return () => void this.client.off("message", onMessage);
  }

  /** PINGREQ; without any sign of life the socket is cut. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.lost) return;
    const { client } = this;
    let hear!: () => void;
    const heard = new Promise<void>((resolve) => hear = resolve);
    client.on("packetreceive", hear);
    try {
      client.sendPing();
      await unlessAborted(signal, unlessAborted(this.loss, heard));
    } catch (error) {
      this.#reason = error;
      client.stream?.destroy();
      this.#lose();
      throw this.loss.reason;
    } finally {
      client.off("packetreceive", hear);
    }
  }

  /** Resolves with the socket shut, unless it is the user's. */
  async close(): Promise<void> {
    this.#lose();
    this.client.off("error", this.#onError);
    this.client.off("close", this.#onClose);
    if (!this.#borrowed) await end(this.client);
  }

  #lose(): void {
    if (!this.lost) this.#loss.abort(this.#lostError(this.#reason));
  }

  #lostError(cause: unknown): ConnectionError {
    return new ConnectionError("the connection to the server was lost", { cause });
  }
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
  // Looking through what it has stored, the client ends with a timer, a turn after it connected.
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setTimeout(resolve, 0));
}

/** What an error of the client means: that the server has refused, or something else. */
export function explain(error: Error, otherwise: Error): Error {
  const { code } = error as { code?: unknown };
  return typeof code === "number" && code >= 0x80 && !BUSY.includes(code)
    ? new RefusedError(error.message, { cause: error })
    : otherwise;
}
