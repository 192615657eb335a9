/**
 * Reads `history()`: pages of a channel's log as a list of events.
 *
 * @module
 */

import type { ReadOptions } from "../backend/contract.ts";
import { type BroadcastEvent, type Gap, mergeGaps, withId } from "../backend/event.ts";
import { foreignReason, type Scope } from "../backend/id.ts";
import type { Position } from "../backend/position.ts";
import { unlessAborted } from "../util/abort.ts";
import type { LogCell, PageReader } from "./pages.ts";

/** How many records are asked for at once at most. */
const LONGEST_PAGE = 1_024;

/** What a list of events needs to know. */
export interface HistoryRange extends ReadOptions {
  /** Told of each gap. */
  readonly onGap: (gap: Gap) => void;
  /** Aborts the reading. */
  readonly signal?: AbortSignal | undefined;
}

/** Events, oldest first, and what they lie between. */
export interface Stretch<Message> {
  /** What the first of them lies behind. */
  readonly from: Position;
  /** The events. */
  readonly events: BroadcastEvent<Message>[];
  /** The position behind the last of them, and what follows that is no event. */
  readonly end: Position;
}

/** The events of a range, in as many pages as it takes. */
export async function eventsIn<Message>(
  log: PageReader<Message>,
  { after, before, limit, onGap, signal }: HistoryRange,
): Promise<Stretch<Message>> {
  const events: BroadcastEvent<Message>[] = [];
  let [first, last] = [after, before];
  let from: Position | undefined;
  let end: Position | undefined;
  while (events.length < limit) {
    const count = Math.min(limit - events.length, LONGEST_PAGE);
    const range = { after: first, before: last, limit: count };
    const page = await unlessAborted(signal, log.once(range));
    const { cells } = page;
    if (!after || !from) ({ from } = page);
    if (after || !end) end = cells.at(-1)?.position ?? end ?? page.from;
    if (cells.length === 0) break;
    const found = eventsOf(cells, log.id(page.from), onGap);
    if (after) events.push(...found);
    else events.unshift(...found);
    // A gap, and nothing that would lead on.
    if (after && cells.at(-1)!.position === first) break;
    if (after) first = cells.at(-1)!.position;
    else last = cells[0]!.position;
  }
  return { from: from!, events, end: end! };
}

/** The events of a page, each with the gap before it. */
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
 * The position of an id that a page of history is to lie behind or before.
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
    `Cannot read history of "${name}" from ${JSON.stringify(id)}: it is ${foreignReason(found)}`,
  );
}
