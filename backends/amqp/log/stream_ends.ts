/**
 * Finds the last offset of a stream: RabbitMQ cannot be asked for it.
 *
 * @module
 */

import type { Place } from "../../../core/backend/position.ts";
import type { Stored } from "./record.ts";
import { SharedRequests } from "./shared_requests.ts";
import type { Writer } from "./writer.ts";

/** Of how many streams it is known. */
const KNOWN = 4_096;

/** What is known of a stream's end. */
export interface Known {
  /** The last record that was seen: the stream reaches so far, or farther. */
  readonly end: Place;
  /** The offset of the last event that was seen; before the first, -1. */
  readonly event: number;
}

/**
 * Where streams end. A stream cannot be asked, and whoever reads from beyond its
 * end waits for ever. So what was seen is kept; and who has to know it exactly
 * publishes a mark, and reads up to that: it is all that there was.
 */
export class StreamEnds {
  readonly #writer: Writer;
  readonly #known = new Map<string, Known>();
  readonly #marks = new SharedRequests<string>();

  /** @param writer Publishes the marks. */
  constructor(writer: Writer) {
    this.#writer = writer;
  }

  /** What is known of a stream. */
  of(queue: string): Known | undefined {
    return this.#known.get(queue);
  }

  /** Records of a stream were seen, one behind the other. */
  learn(queue: string, records: readonly Stored[]): void {
    const last = records.at(-1)?.place;
    if (!last) return;
    const known = this.#known.get(queue);
    const event = records.findLast(({ payload }) => payload !== undefined)?.place.at;
    if (!known && this.#known.size >= KNOWN) this.#known.clear();
    this.#known.set(queue, {
      end: known && known.end.at > last.at ? known.end : last,
      event: Math.max(known?.event ?? -1, event ?? -1),
    });
  }

  /** It was deleted, perhaps. */
  forget(queue: string): void {
    this.#known.delete(queue);
  }

  /** Publishes a mark, after this was called; resolves with its fingerprint once it is stored. */
  mark(queue: string): Promise<string> {
    const mark = this.#marks.ask(queue, () => this.#writer.mark(queue));
    // Who reads up to it may have failed before it does.
    mark.catch(() => {});
    return mark;
  }
}
