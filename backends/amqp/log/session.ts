/**
 * The reader and the writer of one AMQP connection.
 *
 * @module
 */

import type { Tail } from "../../../core/backend/contract.ts";
import { behind } from "../../../core/backend/kit/polling_tail.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import { type Limits, Queues } from "./queues.ts";
import { Reader } from "./reader.ts";
import { StreamTail } from "./tail.ts";
import { Writer } from "./writer.ts";

/** The streams, as one connection has them. */
export class Session {
  /** The connection. */
  readonly link: Link;
  /** Publishes. */
  readonly writer: Writer;
  /** Reads pages. */
  readonly reader: Reader;

  /**
   * @param link The connection.
   * @param limits What streams are created with.
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

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.link.close();
  }

  /** The live end of a stream. */
  async tail(queue: string, after: Position | undefined): Promise<Tail> {
    const { reader } = this;
    const isBeyond = (at: number) => reader.isBeyond(queue, at);
    if (!after) {
      const { view, mark: last, behind: items } = await reader.begin(queue);
      return new StreamTail({ position: Position.of(last), items, view, isBeyond, last });
    }
    // Whether the position is one of the stream is what a page has to find out, too.
    const { items } = await reader.read(queue, { after, limit: 1 });
    const again = behind(after, items).in(0);
    const view = await reader.follow(queue, again);
    return new StreamTail({ position: after, items, view, isBeyond, again });
  }
}
