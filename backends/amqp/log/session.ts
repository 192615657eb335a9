/**
 * The reader and the writer of one AMQP connection.
 *
 * @module
 */

import { positionAfter } from "../../../core/backend/continuity.ts";
import type { Tail } from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import { type Limits, Queues } from "./queues.ts";
import { Reader } from "./reader.ts";
import { StreamTail } from "./tail.ts";
import { Writer } from "./writer.ts";

/** The streams, over one connection. */
export class Session {
  /** The connection. */
  readonly link: Link;
  /** Publishes. */
  readonly writer: Writer;
  /** Reads pages. */
  readonly reader: Reader;

  /**
   * @param link The connection.
   * @param limits The arguments that streams are created with.
   */
  constructor(link: Link, limits: Limits) {
    this.link = link;
    const queues = new Queues(link, limits);
    this.writer = new Writer(link, queues);
    this.reader = new Reader(link, queues, this.writer);
  }

  /** Whether its connection is lost. */
  get lost(): boolean {
    return this.link.lost;
  }

  /** Closes the connection. */
  close(): Promise<void> {
    return this.link.close();
  }

  /** The live end of a stream. */
  async tail(queue: string, after: Position | undefined): Promise<Tail> {
    const { reader } = this;
    const isBeyond = (at: number) => reader.isBeyond(queue, at);
    if (!after) {
      const { view, mark: last, later: items } = await reader.begin(queue);
      return new StreamTail({ position: Position.of(last), items, view, isBeyond, last });
    }
    // A page checks the position, as the tail has to.
    const { items } = await reader.read(queue, { after, limit: 1 });
    const again = items.reduce(positionAfter, after).in(0);
    const view = await reader.follow(queue, again);
    return new StreamTail({ position: after, items, view, isBeyond, again });
  }
}
