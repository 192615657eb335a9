/**
 * Publishes to the stream, with acknowledgements.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { Msg, Subscription } from "@nats-io/transport-node";
import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import {
  ConnectionError,
  RefusedError,
  TemporaryError,
  UnknownReplyError,
} from "../../../core/backend/errors.ts";
import type { Once } from "../../../core/backend/idempotency_key.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { Position } from "../../../core/backend/position.ts";
import { quote } from "../../../core/util/quote.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import { type ApiError, IN_PROCESS, NO_RESPONDERS, publishError, refused } from "../errors.ts";
import { HEADER_LENGTH, headerOf, lengthOf, readHeaders } from "../headers.ts";
import { checkPublish, subjectOf } from "../subject.ts";
import { checkOnce, metadataOf } from "./keys.ts";
import { checkOf, checkOfStored, placeOf } from "./place.ts";
import { type State, type Store, TIME_HEADER } from "./store.ts";

/** The time limit for an answer, in milliseconds. */
const LIMIT = 10_000;
/** The time limit for messages that were sent before the stream was looked up. */
const SHORT_LIMIT = 2_000;
/** The pause before a message is sent again because its key is being stored, in milliseconds. */
const PAUSE = 50;

/** A sent payload. */
interface Sent {
  readonly subject: string;
  /** The check that recognizes it in the stream. */
  readonly check: string;
  /** Sends the payload, the first time or again. */
  readonly send: () => void;
  readonly succeed: (position: Position | undefined) => void;
  readonly fail: (reason: unknown) => void;
}

/** The server's answer. */
interface Answer {
  /** The stream's name. */
  readonly stream?: string;
  readonly seq?: number;
  /** Whether `seq` belongs to an earlier message with the same key. */
  readonly duplicate?: boolean;
  /** The reason why it was not stored. `seq` is then absent or 0. */
  readonly error?: ApiError;
}

/** Publishes, with one subscription for the answers to all messages. */
export class Writer {
  readonly #store: Store;
  readonly #inbox: string;
  readonly #answers: Subscription;
  readonly #sequencer = new Sequencer();
  readonly #sent = new Map<number, Sent>();
  #number = 0;
  /** The sequence of the newest stored message. */
  #newest = 0;
  #state: State;
  /** Resolves once the stream was looked up. */
  #looking: Promise<void> | undefined;
  /** The reason why the last attempt to create the stream again failed. */
  #refusal: RefusedError | undefined;
  #isLimited = false;
  readonly #timers = new Set<() => void>();

  private constructor(store: Store, state: State, inbox: string, answers: Subscription) {
    this.#store = store;
    this.#state = state;
    this.#inbox = inbox;
    this.#answers = answers;
    const { loss } = store.link;
    loss.addEventListener("abort", () => this.#fail(loss.reason));
    store.link.onDenied = (subject, error) => {
      this.#fail(refused(error), (sent) => sent.subject === subject);
    };
  }

  /** Subscribes to the answers. */
  static async open(store: Store): Promise<Writer> {
    const { link } = store;
    const inbox = `_INBOX.${random()}`;
    let writer: Writer | undefined;
    let denial: Error | undefined;
    const { subscription } = await link.subscribe(() => ({
      subscription: link.client.subscribe(`${inbox}.*`, {
        callback: (error, message) => {
          if (!error && writer) writer.#hear(message);
          else if (!error) return;
          // Without answers the session is useless. The next session reports the reason when it is
          // opened.
          else if (writer) link.cut(error);
          else denial = error;
        },
      }),
    }));
    try {
      if (denial) throw refused(denial);
      return writer = new Writer(store, await store.state(), inbox, subscription);
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
  }

  /**
   * Looks the stream up, since it may have been recreated, or have another leader. A new leader
   * does not answer messages that the old one has dropped.
   */
  lookUp(): void {
    this.#looking ??= this.#store.state().then((state) => {
      this.#state = state;
      this.#limit(SHORT_LIMIT, this.#number);
    }, (reason) => {
      if (reason instanceof RefusedError) this.#refusal = reason;
    }).finally(() => this.#looking = undefined);
  }

  /** The stream's duplicate window, in milliseconds. */
  get window(): number {
    return this.#state.window;
  }

  /** Rejects a key whose lifetime is longer than the window. */
  checkOnce(channel: string, once: Once): void {
    checkOnce(channel, once, this.#state.window);
  }

  /** Publishes messages. Each promise resolves once the server has stored the message. */
  publish(messages: readonly OutgoingPayload[]): Promise<Position | undefined>[] {
    const { loss } = this.#store.link;
    if (loss.aborted) return messages.map(() => Promise.reject(loss.reason));
    const time: Record<string, string> = this.#store.tellsTime
      ? {}
      : { [TIME_HEADER]: new Date().toISOString() };
    const answers = messages.map((message) =>
      new Promise<Position | undefined>((succeed, fail) => this.#send(message, time, succeed, fail))
    );
    if (!this.#isLimited) this.#limitAll();
    return answers;
  }

  #send(
    message: OutgoingPayload,
    time: Record<string, string>,
    succeed: Sent["succeed"],
    fail: Sent["fail"],
  ): void {
    const { client } = this.#store.link;
    const { max_payload: limit = 0, headers = false } = client.info ?? {};
    const { channel, payload } = message;
    const subject = `${this.#store.name}.${subjectOf(channel)}`;
    const metadata = metadataOf(channel, message);
    // The limit may have changed since the message was checked.
    checkPublish(channel, payload, limit, lengthOf(metadata));
    const length = Buffer.byteLength(payload) + lengthOf(metadata) + HEADER_LENGTH;
    const fits = headers && length <= limit;
    const mark = fits ? this.#sequencer.next(channel) : "";
    const own = fits ? { [SEQUENCE_HEADER]: mark, ...time } : undefined;
    const header = (own || metadata) && { headers: headerOf({ ...own, ...metadata }) };
    const number = ++this.#number;
    const reply = `${this.#inbox}.${number}`;
    const send = () => client.publish(subject, payload, { reply, ...header });
    send();
    this.#sent.set(number, { subject, check: checkOf(payload, mark), send, succeed, fail });
  }

  /** Stops waiting for answers. */
  close(): void {
    for (const stop of this.#timers) stop();
    this.#answers.unsubscribe();
  }

  #hear(message: Msg): void {
    const number = Number(message.subject.slice(this.#inbox.length + 1));
    const sent = this.#sent.get(number);
    if (!sent) return;
    if (message.data.length === 0 && readHeaders(message)?.code === NO_RESPONDERS) {
      this.#sent.delete(number);
      return sent.fail(this.#reason());
    }
    const { seq, error, duplicate } = this.#answerIn(message);
    if (error?.err_code === IN_PROCESS) return this.#again(number);
    // Answers of other programs on these subjects are ignored.
    if (!error && !seq) return;
    this.#sent.delete(number);
    if (error) return this.#refuse(sent, error);
    this.#newest = Math.max(this.#newest, number);
    if (duplicate) this.#find(seq!).then(sent.succeed, sent.fail);
    else if (!this.#looking) sent.succeed(this.#positionOf(seq!, sent));
    // The stream may just have been created.
    else {
      this.#looking.then(() => sent.succeed(this.#positionOf(seq!, sent))).catch(sent.fail);
    }
  }

  #positionOf(seq: number, { check }: Sent): Position {
    return Position.of(placeOf(seq, this.#state.epoch, check));
  }

  /** The answer of JetStream, or an empty one if it is not from JetStream. */
  #answerIn(message: Msg): Answer {
    try {
      const answer = JSON.parse(message.string()) as Answer | null;
      return answer?.error || answer?.stream === this.#store.name ? answer : {};
    } catch {
      return {};
    }
  }

  #refuse({ fail }: Sent, error: ApiError): void {
    const reason = publishError(error);
    // An answer that is not in the table may be the fault of this session.
    if (reason instanceof UnknownReplyError) this.#store.link.cut(reason);
    fail(reason);
  }

  /**
   * The reason why nobody received a message, which is therefore not stored. Streams do not listen
   * while they start, stop or elect a leader, or after they were deleted. The stream is looked up
   * for the next attempt, and created again if it is missing. The message is refused only if that
   * fails.
   */
  #reason(): Error {
    const refusal = this.#refusal;
    this.#refusal = undefined;
    this.lookUp();
    const words = `stream ${quote(this.#store.name)} has no leader, or is being created`;
    return refusal ?? new TemporaryError(words);
  }

  #again(number: number): void {
    this.#after(PAUSE, () => this.#sent.get(number)?.send());
  }

  /**
   * The position of the first message with a key, which may have had another payload. That message
   * is certainly stored, even if its payload cannot be read.
   */
  async #find(seq: number): Promise<Position | undefined> {
    const { epoch } = this.#state;
    try {
      const found = await this.#store.find({ seq });
      return Position.of(placeOf(seq, epoch, found && checkOfStored(found.data, found.headers)));
    } catch {
      return undefined;
    }
  }

  #fail(reason: unknown, which: (sent: Sent) => boolean = () => true): void {
    for (const [number, sent] of this.#sent) {
      if (!which(sent)) continue;
      this.#sent.delete(number);
      sent.fail(reason);
    }
  }

  #limitAll(): void {
    this.#isLimited = this.#sent.size > 0;
    if (this.#isLimited) this.#limit(LIMIT, this.#number, () => this.#limitAll());
  }

  /**
   * Fails the messages that are not answered in time. A stream answers in order: once a message is
   * stored, earlier messages without an answer will get none.
   *
   * @param last The last message that the limit applies to.
   * @param then Called after that. By default, the limit continues until all these messages are
   * settled.
   */
  #limit(time: number, last: number, then = () => this.#limit(time, last)): void {
    const [oldest = Infinity] = this.#sent.keys();
    if (oldest > last) return;
    const newest = this.#newest;
    this.#after(time, () => {
      const isSilent = newest === this.#newest;
      if (this.#sent.has(oldest)) this.#giveUp(isSilent ? last : Math.min(last, this.#newest));
      then();
    });
  }

  /**
   * Fails all messages up to one, and the later messages of the same channels. Otherwise these
   * would overtake them when they are sent again.
   */
  #giveUp(last: number): void {
    const subjects = new Set<string>();
    for (const [number, { subject }] of this.#sent) if (number <= last) subjects.add(subject);
    const reason = new ConnectionError("JetStream did not answer");
    this.#fail(reason, ({ subject }) => subjects.has(subject));
  }

  #after(time: number, callback: () => void): void {
    const stop = after(time, () => {
      this.#timers.delete(stop);
      callback();
    });
    this.#timers.add(stop);
  }
}
