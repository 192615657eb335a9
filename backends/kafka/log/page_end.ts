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

/** A topic, as it was found. */
export interface Found {
  /** The cluster. */
  readonly cluster: Cluster;
  /** Its name. */
  readonly topic: string;
  /** Its partitions, and their leaders. */
  readonly leads: readonly Lead[];
  /** The offsets that are stored of each. */
  readonly bounds: ReadonlyMap<number, Bounds>;
}

/**
 * The offsets up to which the partitions are read, exclusively, so that nothing from a position
 * on is in the page. Of a topic that was recreated, nothing is before the position.
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
  // One batch comes, however few bytes are asked for.
  const { messages } = await fetchOne(cluster, topic, lead, { offset: place.at, maxBytes: 1 });
  const found = messages.find(({ offset }) => Number(offset) === place.at);
  return found !== undefined && !isSame(placeOf(partition, found), place);
}
