/**
 * Publishes on one connection, with confirms, and reports the outcome of each message.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { ConfirmChannel, Message } from "amqplib";
import { OutcomeUnknownError, RefusedError, TemporaryError } from "../../core/backend/errors.ts";
import { onAbort } from "../../core/util/abort.ts";
import { random } from "../../core/util/random.ts";
import { after, soon } from "../../core/util/timer.ts";
import { codeOf, explain } from "./errors.ts";
import type { Table } from "./headers.ts";
import type { Link } from "./link.ts";

/** A message to be sent. */
export interface Sending {
  /** The exchange. The default exchange, `""`, delivers to the queue that the routing key names. */
  readonly exchange: string;
  /** The routing key. */
  readonly key: string;
  /** The payload. */
  readonly content: Buffer;
  /** Creates the headers when the message is sent, so that an unsent message uses no number. */
  readonly headers: () => Table;
  /** Called if the server has certainly not stored the message. Later messages come first. */
  readonly onUnstored?: (headers: Table) => void;
  /** Whether the server returns it if no queue takes it. */
  readonly mandatory?: boolean;
}

/** A message, from `send()` to its answer. */
interface Entry {
  readonly sending: Sending;
  /** The headers, once the message was sent. */
  headers?: Table;
  readonly resolve: (headers: Table) => void;
  readonly reject: (reason: unknown) => void;
}

/** A pause after which the server may have begun to block publishing, in milliseconds. */
const PAUSE = 500;
/**
 * How long messages wait for an answer if they were sent right before the server blocked, in
 * milliseconds.
 */
const PATIENCE = 10_000;

/**
 * The messages of one connection, in their order.
 *
 * A server that is short of memory or disk stops reading a connection at its next message, and
 * reports it. Later messages may be stored once it reads again. So after a pause, a message without
 * a receiver is sent first. If the server blocks, nothing else was sent. For the same reason, the
 * first message on an AMQP channel is sent alone: a missing exchange or right then concerns only
 * that message.
 */
export class Outbox {
  /** Called for each mandatory message that no queue took. */
  onReturned: (message: Message) => void = () => {};
  /** Called when the server has closed the channel because of a message. */
  onRefused: (error: Error) => void = () => {};
  readonly #link: Link;
  readonly #make: () => Promise<ConfirmChannel>;
  #channel: ConfirmChannel | undefined;
  #waiting: Entry[] = [];
  /** The unanswered messages, in order. */
  readonly #unanswered = new Set<Entry>();
  /** Whether other messages wait for the answer to one message. */
  #isTrying = false;
  #isOpening = false;
  /** Whether the server has accepted a message on this channel. */
  #isAccepted = false;
  /** Whether messages without a receiver may be published. */
  #mayKnock = true;
  #heard = 0;
  #stopPatience: () => void = () => {};

  /**
   * @param link The connection.
   * @param make Opens an AMQP channel, and prepares it.
   */
  constructor(link: Link, make: () => Promise<ConfirmChannel>) {
    this.#link = link;
    this.#make = make;
    onAbort(link.loss, () => this.#lose());
  }

  /** Sends a message. Resolves with its headers once the server has confirmed it. */
  send(sending: Sending): Promise<Table> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ sending, resolve, reject });
      this.#flush();
    });
  }

  /** Opens the channel, if it is not open. Rejects if the server refuses. */
  async open(): Promise<void> {
    if (this.#channel || this.#isOpening) return;
    this.#isOpening = true;
    try {
      this.#use(await this.#link.ask(this.#make()));
    } finally {
      this.#isOpening = false;
    }
  }

  /** Closes the channel, if it is open. */
  async close(): Promise<void> {
    const channel = this.#channel;
    if (!channel) return;
    // The client answers neither a second request to close nor one on a closed connection.
    const closed = new Promise<void>((resolve) => channel.once("close", () => resolve()));
    try {
      channel.close().catch(() => {});
    } catch {
      return;
    }
    await closed;
  }

  /** Called when the server blocks publishing. Nothing else is sent then. */
  block(): void {
    this.#flush();
    this.#stopPatience();
    this.#stopPatience = after(PATIENCE, () => {
      const error = new OutcomeUnknownError(`the server does not read: ${this.#link.blocked}`);
      for (const { reject } of this.#taken()) reject(error);
    });
  }

  /** Called when the server reads again. */
  unblock(): void {
    this.#stopPatience();
    this.#flush();
  }

  #flush(): void {
    const { blocked, lost } = this.#link;
    if (this.#waiting.length === 0) return;
    if (lost) return this.#giveBack(notSent(this.#link.loss.reason));
    if (blocked !== undefined) {
      return this.#giveBack(new TemporaryError(`the server blocks publishing: ${blocked}`));
    }
    if (this.#isTrying || this.#isOpening) return;
    const channel = this.#channel;
    if (!channel) {
      return void this.open().then(
        () => this.#flush(),
        (error) => this.#giveBack(this.#link.lost ? notSent(error) : error),
      );
    }
    if (this.#isUnsure()) return this.#knock(channel);
    if (!this.#isAccepted) {
      this.#isTrying = true;
      return this.#post(channel, this.#waiting.shift()!);
    }
    for (const entry of this.#waiting.splice(0)) this.#post(channel, entry);
  }

  /** Whether the server may have stopped reading. */
  #isUnsure(): boolean {
    return this.#mayKnock && this.#unanswered.size === 0 &&
      performance.now() - this.#heard > PAUSE;
  }

  /** Sends a message without a receiver. The answer shows that the server reads. */
  #knock(channel: ConfirmChannel): void {
    this.#isTrying = true;
    try {
      channel.publish("", `broadcaster-knock-${random()}`, Buffer.alloc(0), {}, (error) => {
        if (!error) this.#hear();
      });
    } catch {
      this.#end(channel, undefined);
    }
  }

  #post(channel: ConfirmChannel, entry: Entry): void {
    const { exchange, key, content, headers: make, mandatory = false } = entry.sending;
    this.#unanswered.add(entry);
    try {
      const headers = entry.headers = make();
      channel.publish(exchange, key, content, { mandatory, headers }, (error) => {
        // `#end()` settles the messages of a closed channel.
        if (error && error.message === "channel closed") return;
        // The message may have been given up.
        if (this.#unanswered.delete(entry)) {
          if (error) entry.reject(nacked(error));
          else entry.resolve(headers);
        }
        this.#isAccepted = true;
        this.#hear();
      });
    } catch (error) {
      this.#unanswered.delete(entry);
      unstored(entry);
      // A closed channel sends nothing. Any other error means that the client cannot send the
      // message.
      const isClosed = (error as Error).name === "IllegalOperationError" || this.#link.lost;
      entry.reject(isClosed ? notSent(error) : new RefusedError(String(error), { cause: error }));
      this.#isTrying = false;
      // Sends the messages that wait behind it.
      soon(() => this.#flush());
    }
  }

  /** Called when the server has answered. */
  #hear(): void {
    this.#heard = performance.now();
    this.#isTrying = false;
    this.#flush();
  }

  #use(channel: ConfirmChannel): void {
    let reason: Error | undefined;
    this.#channel = channel;
    this.#isAccepted = false;
    channel.on("error", (error: Error) => reason = error);
    channel.on("return", (message: Message) => this.onReturned(message));
    // The client closes the channels before the connection. Both closes are known a moment later.
    channel.on("close", () => soon(() => this.#end(channel, reason)));
  }

  /** Called when the channel was closed. */
  #end(channel: ConfirmChannel, reason: Error | undefined): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#isTrying = false;
    if (this.#link.lost) return this.#lose();
    if (reason) {
      if (this.#unanswered.size === 0) this.#mayKnock &&= codeOf(reason) !== 403;
      else this.onRefused(reason);
      this.#judge(reason);
    } else {
      const error = new OutcomeUnknownError("the channel was closed");
      for (const { reject } of this.#taken()) reject(error);
    }
    this.#flush();
  }

  /**
   * Settles the messages after the server refused one of them, and ignored all later ones. The
   * refusal identifies the message only by its size.
   */
  #judge(reason: Error): void {
    const entries = this.#taken();
    const size = Number(/message size (\d+) is larger/.exec(reason.message)?.[1]);
    const index = entries.findIndex(({ sending }) => sending.content.length === size);
    // If no message has that size, the refused one is the last, or one before it.
    const refused = index < 0 ? entries.length - 1 : index;
    for (const entry of entries.slice(refused).reverse()) unstored(entry);
    entries.forEach(({ reject }, at) => {
      if (at < refused) {
        reject(new OutcomeUnknownError("the server closed the channel", { cause: reason }));
      } else if (at === refused) reject(explain(reason));
      else reject(notSent(reason));
    });
  }

  #lose(): void {
    this.#channel = undefined;
    this.#stopPatience();
    for (const { reject } of this.#taken()) reject(this.#link.loss.reason);
    this.#flush();
  }

  #taken(): Entry[] {
    const entries = [...this.#unanswered];
    this.#unanswered.clear();
    return entries;
  }

  #giveBack(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function unstored({ sending, headers }: Entry): void {
  if (headers) sending.onUnstored?.(headers);
}

/** The error of a message that is certainly not stored. */
function notSent(cause: unknown): TemporaryError {
  return new TemporaryError((cause as Error).message, { cause });
}

function nacked(cause: Error): RefusedError {
  return new RefusedError(
    "a queue refused the message, for example since it is full; other queues may have it",
    { cause },
  );
}
