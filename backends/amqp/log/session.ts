/**
 * The streams that are read over one AMQP connection.
 *
 * @module
 */

import { positionAfter } from "../../../core/backend/continuity.ts";
import type { Tail } from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Link } from "../link.ts";
import type { Queues } from "./queues.ts";
import { Reader } from "./reader.ts";
import { StreamTail } from "./tail.ts";
import type { Writer } from "./writer.ts";

/** Reads streams over one connection. */
export class Session {
  /** The connection. */
  readonly link: Link;
  /** Reads pages. */
  readonly reader: Reader;

  /**
   * @param link The connection.
   * @param queues Declares the streams.
   * @param writer Publishes the marks.
   * @param onDeleted Called when a stream was deleted while it was read.
   */
  constructor(link: Link, queues: Queues, writer: Writer, onDeleted: () => void) {
    this.link = link;
    this.reader = new Reader(link, queues, writer, onDeleted);
  }

  /** Opens the live end of a stream. */
  async tail(queue: string, after: Position | undefined): Promise<Tail> {
    const { reader } = this;
    const isBeyond = (at: number) => reader.isBeyond(queue, at);
    if (!after) {
      const { view, mark: last, later: items } = await reader.begin(queue);
      return new StreamTail({ position: Position.of(last), items, view, isBeyond, last });
    }
    // Reading a page also checks the position, which the tail must do.
    const { items } = await reader.read(queue, { after, limit: 1 });
    const again = items.reduce(positionAfter, after).in(0);
    const view = await reader.follow(queue, again);
    return new StreamTail({ position: after, items, view, isBeyond, again });
  }
}
