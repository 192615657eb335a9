/**
 * Publishes to streams, with confirms.
 *
 * @module
 */

import type { Message } from "amqplib";
import type { OutgoingPayload, Payload } from "../../../core/backend/contract.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { random } from "../../../core/util/random.ts";
import { streamDeleted } from "../errors.ts";
import { checkFrame, type Table, tableOf } from "../headers.ts";
import type { Link } from "../link.ts";
import { contentOf } from "../payload.ts";
import type { Queues } from "./queues.ts";
import { MARK_HEADER, TIME_HEADER } from "./record.ts";

/** Publishes messages with confirms, over the current connection. */
export class Writer {
  readonly #link: () => Link;
  readonly #queues: Queues;
  readonly #sequencer = new Sequencer();
  /** The names of returned messages, since the server also confirms these. */
  readonly #returned = new Set<unknown>();

  /**
   * @param link The connection that publishes.
   * @param queues Declares the streams.
   */
  constructor(link: () => Link, queues: Queues) {
    this.#link = link;
    this.#queues = queues;
  }

  /** Uses this connection from now on. */
  use({ outbox }: Link): void {
    this.#returned.clear();
    outbox.onReturned = ({ properties }: Message) =>
      void this.#returned.add(nameOf(properties.headers));
  }

  /**
   * Publishes messages to the queues of their channels. Each promise resolves once the server has
   * stored the message.
   */
  publish(messages: readonly OutgoingPayload[]): Promise<undefined>[] {
    const link = this.#link();
    return messages.map(async ({ channel: queue, payload, headers: given }) => {
      if (given) checkFrame(given, link.frame);
      const headers = () => {
        const own = {
          [SEQUENCE_HEADER]: this.#sequencer.next(queue),
          [TIME_HEADER]: Date.now(),
        };
        return given ? tableOf(given, own) : own;
      };
      await this.#send(link, queue, payload, headers);
      return undefined;
    });
  }

  /** Stores a mark. Resolves with its fingerprint. */
  async mark(queue: string): Promise<string> {
    const mark = random();
    await this.#send(this.#link(), queue, "", () => ({ [MARK_HEADER]: mark }));
    return fingerprintOf(mark);
  }

  /** Sends a message. Resolves once it is stored. */
  async #send(link: Link, queue: string, payload: Payload, make: () => Table): Promise<void> {
    await this.#queues.make(queue);
    const message = { exchange: "", key: queue, content: contentOf(payload), headers: make };
    const headers = await link.outbox.send({ ...message, mandatory: true });
    if (!this.#returned.delete(nameOf(headers))) return;
    this.#queues.forget(queue);
    throw streamDeleted();
  }
}

/** A value that identifies the message. */
function nameOf(headers: Table | undefined): unknown {
  return headers?.[SEQUENCE_HEADER] ?? headers?.[MARK_HEADER];
}
