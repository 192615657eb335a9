/**
 * Scans the log of a topic for the keys in it.
 *
 * @module
 */

import { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { UnreachableError } from "../errors.ts";
import type { Message } from "../kafkajs.ts";
import { type Bounds, boundsOf, offsetsSince } from "../offsets.ts";
import { PartitionReader, placeOf, type Places } from "../partition_reader.ts";
import { fetchOne } from "../partition_records.ts";
import type { Lead } from "../topics.ts";
import { type Keys, readKey } from "./keys.ts";

const MAX_FETCH = 1024 * 1024;
/** How often a leader may bring nothing of what it said it has, and how long that is waited for. */
const PATIENCE = 100;
const PAUSE = 20;

/** What is scanned. */
export interface ScanOptions {
  /** Where it is. */
  readonly cluster: Cluster;
  /** The topic. */
  readonly topic: string;
  /** All its partitions: when one was added, the channel's records may have lain in another. */
  readonly leads: readonly Lead[];
  /** How far it was scanned before. */
  readonly places: Places;
  /** What was found. */
  readonly keys: Keys;
  /** Of what is older no key is known any more. */
  readonly since: number;
}

/** Adds all keys that are stored, behind what was scanned before. */
export async function scan(options: ScanOptions): Promise<void> {
  const { cluster, topic, leads, since } = options;
  const [bounds, starts] = await Promise.all([
    boundsOf(cluster, topic, leads),
    offsetsSince(cluster, topic, leads, since),
  ]);
  await Promise.all(leads.map((lead) => {
    const { begin, end } = bounds.get(lead.partition)!;
    const start = starts.get(lead.partition)!;
    return scanOne(options, lead, { begin, end }, start < 0 ? end : start);
  }));
}

/** Scans one partition up to its end: from a start, or from what was scanned before. */
async function scanOne(
  { cluster, topic, leads, places, keys }: ScanOptions,
  lead: Lead,
  bounds: Bounds,
  start: number,
): Promise<void> {
  const { partition } = lead;
  const lane = new PartitionReader(places, partition);
  const seek = (isOther: boolean) => {
    // What is known of a topic that was deleted and made anew is no longer true.
    if (lane.seek(bounds, isOther).some((item) => "restart" in item)) keys.clear();
    lane.offset = Math.max(lane.offset, start);
  };
  const now = Date.now();
  const see = (message: Message) => {
    const place = placeOf(partition, message);
    places.see(place);
    const once = readKey(message);
    if (!once) return;
    const time = Number(message.timestamp ?? -1);
    const position = leads.length === 1 ? Position.of(place) : undefined;
    keys.add(once, position, time < 0 ? now : time, now);
  };
  seek(false);
  for (let failures = 0; lane.offset < bounds.end;) {
    const { offset } = lane;
    const fetched = await fetchOne(cluster, topic, lead, { offset, maxBytes: MAX_FETCH });
    const isSame = lane.take(fetched.messages) !== undefined;
    if (!isSame) seek(true);
    else if (lane.offset > offset) {
      for (const message of fetched.messages) if (Number(message.offset) >= offset) see(message);
      failures = 0;
    } else {
      // Of compacted batches nothing may be left; a leader that was just elected has to catch up.
      lane.miss(fetched.end);
      if (++failures > PATIENCE) {
        throw new UnreachableError(`partition ${partition} of "${topic}" has less than it said`);
      }
      if (lane.offset >= fetched.end) await cluster.pause(PAUSE);
    }
  }
}
