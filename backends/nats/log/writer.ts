/**
 * Publishes to the stream, with acknowledgements.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, Subscription } from "@nats-io/transport-node";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { Once } from "../../../core/backend/idempotency_key.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { Position } from "../../../core/backend/position.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import { HEADER_LENGTH, headerOf, lengthOf } from "../headers.ts";
import { subjectOf } from "../subject.ts";
import { besidesOf, checkOnce } from "./keys.ts";
import { checkOf, checkOfStored, placeOf } from "./place.ts";
import { type State, type Store, TIME_HEADER } from "./store.ts";

/** How long an answer may take. */
const LIMIT = 10_000;
/** The first message with this key is being stored: from 2.11 on, the servers of a replicated stream say so. */
const IN_PROCESS = 10158;
/** How soon it is asked for again then. */
const PAUSE = 50;

/** A payload that was sent. */
interface Sent {
  readonly subject: string;
  /** Recognises it in the stream. */
  readonly check: string;
  /** Sends it, once more if it is asked again. */
  readonly send: () => void;
  readonly succeed: (position: Position | undefined) => void;
  readonly fail: (reason: unknown) => void;
}

/** What the server answers. */
interface Answer {
  readonly seq?: number;
  /** Whether it is that of the first message with this key. */
  readonly duplicate?: boolean;
  /** With it, there is no sequence, or 0. */
  readonly error?: { readonly "err_code"?: number; readonly description?: string };
}

/** Sends, and hears of each payload what has become of it: one subscription for all answers. */
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
   * @param state The stream as it is.
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

  /** The stream was begun anew: its sequences are others. */
  renew(state: State): void {
    this.#state = state;
  }

  /** How long the stream knows keys, in milliseconds. */
  get window(): number {
    return this.#state.window;
  }

  /** Refuses a key that is to be known longer than the stream knows it. */
  checkOnce(channel: string, once: Once): void {
    checkOnce(channel, once, this.#state.window);
  }

  /** Resolves, for each payload, once the server has stored it. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<Position | undefined>[] {
    const subject = `${this.#store.name}.${subjectOf(channel)}`;
    const { client, loss } = this.#store.link;
    const { max_payload: limit = 0, headers } = client.info ?? {};
    const time = this.#store.tellsTime ? {} : { [TIME_HEADER]: new Date().toISOString() };
    return payloads.map((payload, index) =>
      new Promise((succeed, fail) => {
        if (loss.aborted) return fail(loss.reason);
        const number = ++this.#number;
        const besides = options?.[index] && besidesOf(channel, options[index]);
        const length = Buffer.byteLength(payload) + lengthOf(besides) + HEADER_LENGTH;
        const fits = headers && length <= limit;
        const mark = fits ? this.#sequencer.next(channel) : "";
        const reply = `${this.#inbox}.${number}`;
        const own = fits ? { [SEQUENCE_HEADER]: mark, ...time } : undefined;
        const header = (own || besides) && { headers: headerOf({ ...own, ...besides }) };
        const send = () => client.publish(subject, payload, { reply, ...header });
        this.#sent.set(number, { subject, check: checkOf(payload, mark), send, succeed, fail });
        this.#stop ??= this.#limit();
        send();
      })
    );
  }

  /** Nobody is told any more. */
  close(): void {
    this.#stop?.();
    for (const stop of this.#pauses) stop();
    this.#answers.unsubscribe();
  }

  #hear(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const sent = this.#sent.get(number);
    if (!sent) return;
    if (message.headers?.code === 503) {
      this.#sent.delete(number);
      // It is there again for what comes next.
      this.#store.state().then((state) => this.renew(state), () => {});
      return sent.fail(new RefusedError(`no stream stores it, "${this.#store.name}" was removed`));
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
   * Where the first message with a key lies: it may have had another payload. It is
   * stored for sure, also if the connection is lost before it is known as what.
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
   * Whatever was sent before this is answered by then, or never: and with it what was
   * sent behind it, or that would overtake what is sent again.
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
