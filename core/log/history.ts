/**
 * Reads the history of a channel: pages of its log as a list of events.
 *
 * @module
 */

import type { ReadOptions } from "../backend/contract.ts";
import { type BroadcastEvent, type Gap, mergeGaps, withId } from "../backend/event.ts";
import { foreignReason, type Scope } from "../backend/id.ts";
import { nameOf } from "../backend/name.ts";
import type { Position } from "../backend/position.ts";
import type { Deadline } from "../broker/connection.ts";
import { unlessAborted } from "../util/abort.ts";
import { quote } from "../util/quote.ts";
import type { LogCell, PageReader } from "./pages.ts";

/** Maximum number of records per read. */
const LONGEST_PAGE = 1_024;

/** Options for `eventsIn()`. */
export interface HistoryRange extends ReadOptions {
  /** Called for each gap. */
  readonly onGap: (gap: Gap) => void;
  /** Aborts the read. */
  readonly signal?: AbortSignal | undefined;
  /** Limits how long a read is retried. */
  readonly deadline: Deadline;
}

/** Events, oldest first, and the positions around them. */
export interface Stretch<Message> {
  /** Position before the first event. */
  readonly from: Position;
  /** Events, oldest first. */
  readonly events: BroadcastEvent<Message>[];
  /** Position after the last event and any records after it that are not events. */
  readonly end: Position;
}

/** Reads the events of a range, in as many pages as needed. */
export async function eventsIn<Message>(
  log: PageReader<Message>,
  { after, before, limit, onGap, signal, deadline }: HistoryRange,
): Promise<Stretch<Message>> {
  const events: BroadcastEvent<Message>[] = [];
  let [first, last] = [after, before];
  let from: Position | undefined;
  let end: Position | undefined;
  while (events.length < limit) {
    const count = Math.min(limit - events.length, LONGEST_PAGE);
    const range = { after: first, before: last, limit: count };
    const page = await unlessAborted(signal, log.read(range, deadline));
    const { cells } = page;
    if (!after || !from) ({ from } = page);
    if (after || !end) end = cells.at(-1)?.position ?? end ?? page.from;
    if (cells.length === 0) break;
    const found = eventsOf(cells, log.id(page.from), onGap);
    if (after) events.push(...found);
    else events.unshift(...found);
    // The page has only a gap, which does not advance the position.
    if (after && cells.at(-1)!.position === first) break;
    if (after) first = cells.at(-1)!.position;
    else last = cells[0]!.position;
  }
  return { from: from!, events, end: end! };
}

/** Events of a page, each with the gap before it. */
function eventsOf<Message>(
  cells: readonly LogCell<Message>[],
  from: string,
  onGap: (gap: Gap) => void,
): BroadcastEvent<Message>[] {
  const events: BroadcastEvent<Message>[] = [];
  let after = from;
  let gap: Gap | undefined;
  for (const cell of cells) {
    if (cell.gap) {
      const { cause, missed } = cell.gap;
      const met: Gap = { cause, after, ...missed !== undefined && { missed } };
      onGap(met);
      gap = mergeGaps(gap, met);
    } else if (cell.result) {
      const { value } = cell.result;
      events.push(gap ? withId(value, value.id, gap) : value);
      gap = undefined;
    }
    after = cell.id;
  }
  return events;
}

/**
 * Position of an event id, for the bounds of a history page.
 *
 * @throws {TypeError} If it is not an id of this channel.
 */
export function positionOf(
  id: string | null | undefined,
  { name, scope }: { readonly name: string; readonly scope: Scope },
): Position | undefined {
  if (id === undefined || id === null) return undefined;
  const found = scope.find(id);
  if (found.kind === "position") return found.position;
  throw new TypeError(
    `Cannot read history of ${nameOf(name)} from ${quote(id)}: it is ${foreignReason(found)}`,
  );
}
