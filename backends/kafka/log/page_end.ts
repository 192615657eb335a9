/**
 * The end offsets of the partitions, for a page before a position.
 *
 * @module
 */

import type { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import type { Bounds } from "../offsets.ts";
import { isSame, placeOf } from "../partition_reader.ts";
import { fetchOne } from "../partition_records.ts";
import type { Lead } from "../topics.ts";

/** A topic, and its stored offsets. */
export interface Found {
  /** The cluster. */
  readonly cluster: Cluster;
  /** The name of the topic. */
  readonly topic: string;
  /** The partitions, and their leaders. */
  readonly leads: readonly Lead[];
  /** The stored offsets of each partition. */
  readonly bounds: ReadonlyMap<number, Bounds>;
}

/**
 * The exclusive end offsets of the partitions, so that the page has nothing from the position on.
 * In a recreated topic, nothing is before the position.
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
  // A fetch returns a whole batch, however few bytes are requested.
  const { messages } = await fetchOne(cluster, topic, lead, { offset: place.at, maxBytes: 1 });
  const found = messages.find(({ offset }) => Number(offset) === place.at);
  return found !== undefined && !isSame(placeOf(partition, found), place);
}
