/**
 * The offset of each partition at which a page before a position ends.
 *
 * @module
 */

import type { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import type { Bounds } from "../offsets.ts";
import { isSame, placeOf } from "../partition_reader.ts";
import { fetchOne } from "../partition_records.ts";
import type { Lead } from "../topics.ts";

/** A topic as it was found. */
export interface Found {
  /** Where it is. */
  readonly cluster: Cluster;
  /** Its name. */
  readonly topic: string;
  /** Who leads its partitions. */
  readonly leads: readonly Lead[];
  /** What is stored of them. */
  readonly bounds: ReadonlyMap<number, Bounds>;
}

/**
 * Up to which offset each partition is read, exclusively, if nothing from a
 * position on is wanted. Before the records of a topic that is gone there is
 * nothing.
 */
export async function endsBefore(
  found: Found,
  before: Position | undefined,
): Promise<ReadonlyMap<number, number>> {
  const { bounds, leads } = found;
  const ends = new Map([...bounds].map(([partition, { end }]) => [partition, end]));
  if (!before) return ends;
  const isAhead = before.places.some(({ shard, at }) => at >= (ends.get(shard) ?? 0));
  const isOther = isAhead ||
    (await Promise.all(leads.map((lead) => isReplaced(found, lead, before)))).includes(true);
  for (const [partition, { begin, end }] of bounds) {
    const place = before.in(partition);
    const last = place && (place === before.newest ? place.at : place.at + 1);
    ends.set(partition, isOther ? begin : Math.min(end, last ?? 0));
  }
  return ends;
}

/** Whether another record is stored at the place of a position. */
async function isReplaced(
  { cluster, topic, bounds }: Found,
  lead: Lead,
  position: Position,
): Promise<boolean> {
  const { partition } = lead;
  const place = position.in(partition);
  if (!place || place.fingerprint === "" || place.at < bounds.get(partition)!.begin) return false;
  // However little is asked for, one batch comes.
  const { messages } = await fetchOne(cluster, topic, lead, { offset: place.at, maxBytes: 1 });
  const found = messages.find(({ offset }) => Number(offset) === place.at);
  return found !== undefined && !isSame(placeOf(partition, found), place);
}
