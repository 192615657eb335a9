/**
 * Finds the last offset of a stream, which RabbitMQ does not report over AMQP.
 *
 * @module
 */

import type { Place } from "../../../core/backend/position.ts";
import type { Stored } from "./record.ts";
import { SharedRequests } from "./shared_requests.ts";
import type { Writer } from "./writer.ts";

/** The number of streams whose ends are kept. */
const KNOWN = 4_096;

/** The end of a stream, as far as it is known. */
export interface Known {
  /** The last record that was seen. The stream may have reached further. */
  readonly end: Place;
  /** The offset of the last event that was seen, or -1. */
  readonly event: number;
}

/**
 * The ends of streams. A stream cannot be asked for its end. A consumer that starts after the end
 * waits forever. So the last records that were seen are kept. A reader that needs the exact end
 * publishes a mark and reads up to it.
 */
export class StreamEnds {
  readonly #writer: Writer;
  readonly #known = new Map<string, Known>();
  readonly #marks = new SharedRequests<string>();

  /** @param writer Publishes the marks. */
  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** The known end of a stream. */
  of(queue: string): Known | undefined {
    return this.#known.get(queue);
  }

  /** Remembers the last one of these records, which are in order. */
  learn(queue: string, records: readonly Stored[]): void {
    const last = records.at(-1)?.place;
    if (!last) return;
    const known = this.#known.get(queue);
    const event = records.findLast(({ kind }) => kind === "record")?.place.at;
    if (!known && this.#known.size >= KNOWN) this.#known.clear();
    this.#known.set(queue, {
      end: known && known.end.at > last.at ? known.end : last,
      event: Math.max(known?.event ?? -1, event ?? -1),
    });
  }

  /** Forgets a stream that may have been deleted. */
  forget(queue: string): void {
    this.#known.delete(queue);
  }

  /** Publishes a mark. Resolves with its fingerprint once it is stored. */
  mark(queue: string): Promise<string> {
    const mark = this.#marks.ask(queue, () => this.#writer.mark(queue));
    // If the reader fails first, nobody awaits the mark.
    mark.catch(() => {});
    return mark;
  }
}
