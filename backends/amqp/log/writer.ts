/**
 * Publishes to streams, with confirms.
 *
 * @module
 */

import type { ConfirmChannel, Message } from "amqplib";
import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import { fingerprintOf } from "../../../core/backend/kit/fingerprint.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../../core/backend/kit/loss_detection.ts";
import { random } from "../../../core/util/random.ts";
import { checkFrame, type Table, tableOf } from "../headers.ts";
import type { Link } from "../link.ts";
import { contentOf } from "../payload.ts";
import type { Queues } from "./queues.ts";
import { MARK_HEADER, TIME_HEADER } from "./record.ts";

/** Publishes, each message confirmed. */
export class Writer {
  readonly #link: Link;
  readonly #queues: Queues;
  readonly #sequencer = new Sequencer();
  /** What came back, by what is in its header: the server confirms it all the same. */
  readonly #returned = new Set<unknown>();

  /**
   * @param link Where it publishes.
   * @param queues Where the messages go.
   */
  constructor(link: Link, queues: Queues) {
    this.#link = link;
    this.#queues = queues;
    link.onReturned = ({ properties }: Message) =>
      void this.#returned.add(nameOf(properties.headers));
  }

  /** Resolves, for each payload, once the server has stored it. */
  publish(
    queue: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<void>[] {
    const lane = this.#lane(queue);
    lane.catch(() => {});
    return payloads.map(async (payload, index) => {
      const given = options?.[index]?.headers;
      if (given) checkFrame(given, this.#link.frame);
      const own = {
        [SEQUENCE_HEADER]: this.#sequencer.next(queue),
        [TIME_HEADER]: Date.now(),
      };
      const headers = given ? tableOf(given, own) : own;
      if (await this.#send(lane, queue, payload, headers)) return;
      throw new RefusedError(
        `stream "${queue}" was deleted, it is made again for the next message`,
      );
    });
  }

  /** Stores a mark. Resolves with its fingerprint. */
  async mark(queue: string): Promise<string> {
    const mark = random();
    if (!await this.#send(this.#lane(queue), queue, "", { [MARK_HEADER]: mark })) {
      // Whoever reads finds it made again.
      throw new ConnectionError("the stream was deleted");
    }
    return fingerprintOf(mark);
  }

  /** Where it publishes, once there is a stream. */
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

/** What tells a message from every other one. */
function nameOf(headers: Table | undefined): unknown {
  return headers?.[SEQUENCE_HEADER] ?? headers?.[MARK_HEADER];
}
