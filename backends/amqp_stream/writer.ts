/**
 * The way of payloads into their streams.
 *
 * @module
 */

import type { ConfirmChannel, Message } from "amqplib";
import type { Payload } from "../../backend.ts";
import { RefusedError } from "../../errors.ts";
import { random } from "../../id.ts";
import { SEQUENCE_HEADER, Sequencer } from "../../sequence.ts";
import { witnessOf } from "../../witness.ts";
import type { Link } from "../amqp/link.ts";
import { contentOf } from "../amqp/payload.ts";
import type { Queues } from "./queues.ts";
import { MARK_HEADER, TIME_HEADER } from "./stored.ts";

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
  publish(queue: string, payloads: readonly Payload[]): Promise<void>[] {
    const lane = this.#lane(queue);
    lane.catch(() => {});
    return payloads.map((payload) =>
      this.#send(lane, queue, payload, {
        [SEQUENCE_HEADER]: this.#sequencer.next(queue),
        [TIME_HEADER]: Date.now(),
      })
    );
  }

  /** Stores a mark. Resolves with its witness. */
  async mark(queue: string): Promise<string> {
    const mark = random();
    await this.#send(this.#lane(queue), queue, "", { [MARK_HEADER]: mark });
    return witnessOf(mark);
  }

  /** Where it publishes, once there is a stream. */
  async #lane(queue: string): Promise<ConfirmChannel> {
    await this.#queues.make(queue);
    return await this.#link.ask(this.#link.publishing.open());
  }

  async #send(
    lane: Promise<ConfirmChannel>,
    queue: string,
    payload: Payload,
    headers: Record<string, unknown>,
  ): Promise<void> {
    const content = contentOf(payload);
    const message = { exchange: "", key: queue, content, headers, mandatory: true };
    await this.#link.send(await lane, message);
    if (!this.#returned.delete(nameOf(headers))) return;
    this.#queues.forget(queue);
    throw new RefusedError(`stream "${queue}" was deleted, it is made again for the next message`);
  }
}

/** What tells a message from every other one. */
function nameOf(headers: Record<string, unknown> | undefined): unknown {
  return headers?.[SEQUENCE_HEADER] ?? headers?.[MARK_HEADER];
}
