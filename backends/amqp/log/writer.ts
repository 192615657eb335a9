/**
 * Publishes to streams, with confirms.
 *
 * @module
 */

import type { ConfirmChannel, Message } from "amqplib";
import type { OutgoingPayload, Payload } from "../../../core/backend/contract.ts";
import { RefusedError } from "../../../core/backend/errors.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { random } from "../../../core/util/random.ts";
import { streamDeleted } from "../errors.ts";
import { checkFrame, type Table, tableOf } from "../headers.ts";
import type { Link } from "../link.ts";
import { contentOf } from "../payload.ts";
import type { Queues } from "./queues.ts";
import { MARK_HEADER, TIME_HEADER } from "./record.ts";

/** Publishes messages with confirms. */
export class Writer {
  readonly #link: Link;
  readonly #queues: Queues;
  readonly #sequencer = new Sequencer();
  /** The names of messages that were returned: the server confirms those, too. */
  readonly #returned = new Set<unknown>();

  /**
   * @param link The connection.
   * @param queues Declares the streams.
   */
  constructor(link: Link, queues: Queues) {
    this.#link = link;
    this.#queues = queues;
    link.onReturned = ({ properties }: Message) =>
      void this.#returned.add(nameOf(properties.headers));
  }

  /** Publishes messages, whose channels are queues. Each resolves once the server has stored it. */
  publish(messages: readonly OutgoingPayload[]): Promise<undefined>[] {
    const lanes = new Map<string, Promise<ConfirmChannel>>();
    return messages.map(async ({ channel: queue, payload, headers: given }) => {
      const lane = lanes.get(queue) ?? this.#lane(queue);
      lanes.set(queue, lane);
      lane.catch(() => {});
      if (given) checkFrame(given, this.#link.frame);
      const own = {
        [SEQUENCE_HEADER]: this.#sequencer.next(queue),
        [TIME_HEADER]: Date.now(),
      };
      const headers = given ? tableOf(given, own) : own;
      if (await this.#send(lane, queue, payload, headers)) return undefined;
      throw new RefusedError(
        `stream "${queue}" was deleted, it is created again for the next message`,
      );
    });
  }

  /** Stores a mark. Resolves with its fingerprint. */
  async mark(queue: string): Promise<string> {
    const mark = random();
    if (!await this.#send(this.#lane(queue), queue, "", { [MARK_HEADER]: mark })) {
      throw streamDeleted();
    }
    return fingerprintOf(mark);
  }

  /** The channel to publish on, once the stream exists. */
  async #lane(queue: string): Promise<ConfirmChannel> {
    await this.#queues.make(queue);
    return await this.#link.ask(this.#link.publishing.open());
  }

  /** Whether it is stored. */
  async #send(
    lane: Promise<ConfirmChannel>,
    queue: string,
    payload: Payload,
    headers: Table,
  ): Promise<boolean> {
    const message = { exchange: "", key: queue, content: contentOf(payload), headers };
    await this.#link.send(await lane, { ...message, mandatory: true });
    const isReturned = this.#returned.delete(nameOf(headers));
    if (isReturned) this.#queues.forget(queue);
    return !isReturned;
  }
}

/** The value that no other message has. */
function nameOf(headers: Table | undefined): unknown {
  return headers?.[SEQUENCE_HEADER] ?? headers?.[MARK_HEADER];
}
