/**
 * Publishes to the stream, with acknowledgements.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, Subscription } from "@nats-io/transport-node";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { Once } from "../../../core/backend/idempotency_key.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import { IN_PROCESS, NO_RESPONDERS } from "../errors.ts";
import { HEADER_LENGTH, headerOf, lengthOf } from "../headers.ts";
import { subjectOf } from "../subject.ts";
import { checkOnce, metadataOf } from "./keys.ts";
import { checkOf, checkOfStored, placeOf } from "./place.ts";
import { type State, type Store, TIME_HEADER } from "./store.ts";

/** The time that an answer may take, in milliseconds. */
const LIMIT = 10_000;
/** The time after which a message is sent again whose key is being stored, in milliseconds. */
const PAUSE = 50;

/** A payload that was sent. */
interface Sent {
  readonly subject: string;
  /** The check that recognises it in the stream. */
  readonly check: string;
  /** Sends it, the first time or again. */
  readonly send: () => void;
  readonly succeed: (position: Position | undefined) => void;
  readonly fail: (reason: unknown) => void;
}

/** The server's answer. */
interface Answer {
  readonly seq?: number;
  /** Whether it is the sequence of an earlier message with the same key. */
  readonly duplicate?: boolean;
  /** Why it was not stored: there is no sequence then, or it is 0. */
  readonly error?: { readonly "err_code"?: number; readonly description?: string };
}

/** Publishes, with one subscription for the answers to all messages. */
export class Writer {
  readonly #store: Store;
  readonly #inbox = `_INBOX.${random()}`;
  readonly #answers: Subscription;
  readonly #sequencer = new Sequencer();
  readonly #sent = new Map<number, Sent>();
  #number = 0;
  #state: State;
  #stop: (() => void) | undefined;
  readonly #pauses = new Set<() => void>();

  /**
   * @param store The stream.
   * @param state Its state.
   */
  constructor(store: Store, state: State) {
    this.#store = store;
    this.#state = state;
    const { client, loss } = store.link;
    this.#answers = client.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => error ? this.#fail(error) : this.#hear(message),
    });
    loss.addEventListener("abort", () => this.#fail(loss.reason));
    store.link.onDenied = (subject, error) => this.#fail(error, (sent) => sent.subject === subject);
  }

  /** Takes the new state of the stream: it may have been recreated. */
  renew(state: State): void {
    this.#state = state;
  }

  /** The stream's duplicate window, in milliseconds. */
  get window(): number {
    return this.#state.window;
  }

  /** Refuses a key whose lifetime is longer than the window. */
  checkOnce(channel: string, once: Once): void {
    checkOnce(channel, once, this.#state.window);
  }

  /** Publishes; each message resolves once the server has stored it. */
  publish(messages: readonly OutgoingPayload[]): Promise<Position | undefined>[] {
    const { loss, client } = this.#store.link;
    if (loss.aborted) return messages.map(() => Promise.reject(loss.reason));
    const { max_payload: limit = 0, headers = false } = client.info ?? {};
    const time: Record<string, string> = this.#store.tellsTime
      ? {}
      : { [TIME_HEADER]: new Date().toISOString() };
    const answers = messages.map((message) => {
      const { channel, payload } = message;
      const subject = `${this.#store.name}.${subjectOf(channel)}`;
      const metadata = metadataOf(channel, message);
      const length = Buffer.byteLength(payload) + lengthOf(metadata) + HEADER_LENGTH;
      const fits = headers && length <= limit;
      const mark = fits ? this.#sequencer.next(channel) : "";
      const own = fits ? { [SEQUENCE_HEADER]: mark, ...time } : undefined;
      const header = (own || metadata) && { headers: headerOf({ ...own, ...metadata }) };
      return new Promise<Position | undefined>((succeed, fail) => {
        const number = ++this.#number;
        const reply = `${this.#inbox}.${number}`;
        const send = () => client.publish(subject, payload, { reply, ...header });
        this.#sent.set(number, { subject, check: checkOf(payload, mark), send, succeed, fail });
        send();
      });
    });
    this.#stop ??= this.#limit();
    return answers;
  }

  /** Stops waiting for answers. */
  close(): void {
    this.#stop?.();
    for (const stop of this.#pauses) stop();
    this.#answers.unsubscribe();
  }

  #hear(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const sent = this.#sent.get(number);
    if (!sent) return;
    if (message.headers?.code === NO_RESPONDERS) {
      this.#sent.delete(number);
      // It is created again for the next messages.
      this.#store.state().then((state) => this.renew(state), () => {});
      return sent.fail(new RefusedError(`no stream stores it, "${this.#store.name}" was deleted`));
    }
    const { seq, error, duplicate } = JSON.parse(message.string()) as Answer;
    if (error?.err_code === IN_PROCESS) return this.#again(number);
    this.#sent.delete(number);
    if (error || !seq) sent.fail(new RefusedError(error?.description ?? "it was not stored"));
    else if (duplicate) this.#find(seq).then(sent.succeed, sent.fail);
    else sent.succeed(Position.of(placeOf(seq, this.#state.epoch, sent.check)));
  }

  #again(number: number): void {
    const stop = after(PAUSE, () => {
      this.#pauses.delete(stop);
      this.#sent.get(number)?.send();
    });
    this.#pauses.add(stop);
  }

  /**
   * The position of the first message with a key, which may have had another payload. It is
   * stored for certain, even if the connection is lost before its payload is known.
   */
  async #find(seq: number): Promise<Position | undefined> {
    const { epoch } = this.#state;
    try {
      const found = await this.#store.find({ seq });
      return Position.of(placeOf(seq, epoch, found && checkOfStored(found.data, found.header)));
    } catch (error) {
      if (error instanceof ConnectionError) return undefined;
      throw error;
    }
  }

  #fail(reason: unknown, which: (sent: Sent) => boolean = () => true): void {
    for (const [number, sent] of this.#sent) {
      if (!which(sent)) continue;
      this.#sent.delete(number);
      sent.fail(reason);
    }
  }

  /**
   * Fails all messages if one that was sent before is not answered in time. Those that were sent
   * after it fail too: otherwise they would overtake it when it is sent again.
   */
  #limit(): () => void {
    const last = this.#number;
    return after(LIMIT, () => {
      const [oldest = Infinity] = this.#sent.keys();
      if (oldest <= last) this.#fail(new ConnectionError("JetStream did not answer"));
      this.#stop = this.#sent.size > 0 ? this.#limit() : undefined;
    });
  }
}
