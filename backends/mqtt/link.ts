/**
 * One connection to an MQTT server: its requests, its errors and its loss.
 *
 * @module
 */

import type { IConnackPacket, IPublishPacket, MqttClient } from "mqtt";
import { onAbort, unlessAborted } from "../../core/util/abort.ts";
import { connectionLost, explain } from "./errors.ts";

/** The messages that may be unanswered at a time, unless the server allows fewer. */
const WINDOW = 65_535;

/** Asks the client, which calls back once. */
type Ask<Value> = (answer: (error?: Error | null, value?: Value) => void) => unknown;

/** One connection. It stays lost, once it is, even if the user's client reconnects. */
export class Link {
  /** The client. */
  readonly client: MqttClient;
  /** Aborts, with a `ConnectionError`, when it is lost or closed. */
  readonly loss: AbortSignal;
  /** The size of the largest packet that the server takes, in bytes, if it tells. */
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
   * @param connack The server's answer, if it is known.
   * @param borrowed Whether it is the user's: that one is never closed.
   */
  constructor(client: MqttClient, connack: IConnackPacket | undefined, borrowed: boolean) {
    this.client = client;
    this.#borrowed = borrowed;
    this.loss = this.#loss.signal;
    this.largest = connack?.properties?.maximumPacketSize;
    this.#window = connack?.properties?.receiveMaximum ?? WINDOW;
    client.on("error", this.#onError);
    client.on("close", this.#onClose);
    // With a small window each message waits for an answer: none may be held back by Nagle.
    (client.stream as { setNoDelay?: (on: boolean) => unknown }).setNoDelay?.(true);
  }

  /** Whether it is of no more use. */
  get lost(): boolean {
    return this.loss.aborted;
  }

  /** Asks the client. Rejects when the connection is lost: the client leaves requests unanswered. */
  ask<Value>(ask: Ask<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      if (this.lost) return reject(this.loss.reason);
      const forget = onAbort(this.loss, () => reject(this.loss.reason));
      ask((error, value) => {
        forget();
        if (error) reject(explain(error));
        else resolve(value);
      });
    });
  }

  /** Asks as soon as the server takes one more message, in order. */
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

  /** Calls a listener on each message. Returns a function that stops that. */
  listen(
    onMessage: (topic: string, payload: Uint8Array, packet: IPublishPacket) => void,
  ): () => void {
    this.client.on("message", onMessage);
    return () => void this.client.off("message", onMessage);
  }

  /** Sends a PINGREQ, and cuts the socket if no packet arrives. */
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
    if (!this.lost) this.#loss.abort(connectionLost(this.#reason));
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
  // Once connected, the client reads its store, and starts a timer when that is done: a turn later.
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setTimeout(resolve, 0));
}
