/**
 * The offsets of a topic: of the oldest and of the next record, in each partition.
 *
 * @module
 */

import { Position } from "../../core/backend/position.ts";
import { quote } from "../../core/util/quote.ts";
import type { Cluster } from "./cluster.ts";
import { fingerprintOf } from "./partition_reader.ts";
import type { Lead } from "./topics.ts";

/** The stored offsets of a partition. */
export interface Bounds {
  /** The offset of the oldest record, or of the next record if there is none. */
  readonly begin: number;
  /** The offset that the next record will have. */
  readonly end: number;
}

/** The times that mean the two ends in a request for offsets. */
const BEGIN = -2;
const END = -1;

/** The bounds of some partitions of a topic. */
export async function boundsOf(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
): Promise<ReadonlyMap<number, Bounds>> {
  const topics = new Map([[topic, leads]]);
  const [begins, ends] = await Promise.all([
    offsets(cluster, topics, BEGIN),
    offsets(cluster, topics, END),
  ]);
  return new Map(leads.map(({ partition }) => {
    const begin = begins.get(topic)!.get(partition)!;
    return [partition, { begin, end: Math.max(begin, ends.get(topic)!.get(partition)!) }];
  }));
}

/** The offsets that the next records of some topics will have, in each partition. */
export function endsOf(
  cluster: Cluster,
  topics: ReadonlyMap<string, readonly Lead[]>,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  return offsets(cluster, topics, END);
}

async function offsets(
  cluster: Cluster,
  topics: ReadonlyMap<string, readonly Lead[]>,
  timestamp: number,
): Promise<ReadonlyMap<string, ReadonlyMap<number, number>>> {
  const leaders = new Set([...topics.values()].flat().map(({ leader }) => leader));
  const found = new Map([...topics.keys()].map((topic) => [topic, new Map<number, number>()]));
  await Promise.all([...leaders].map(async (leader) => {
    const broker = await cluster.node(leader);
    const wanted = [...topics].map(([topic, leads]) => ({
      topic,
      partitions: leads.filter((lead) => lead.leader === leader)
        .map(({ partition }) => ({ partition, timestamp })),
    })).filter(({ partitions }) => partitions.length > 0);
    const { responses } = await cluster.request(() =>
      broker.listOffsets({ isolationLevel: 0, topics: wanted })
    );
    for (const { topic, partitions } of responses) {
      for (const { partition, offset } of partitions) {
        found.get(topic)!.set(partition, Number(offset));
      }
    }
  }));
  return found;
}

/** The longest position in an id. The rest of the id names the channel. */
const ROOM = 1024 - 15;

/**
 * The number of partitions that fit into an id, each with the largest offset and the latest time.
 */
export const MAX_PARTITIONS: number = (() => {
  const fingerprint = fingerprintOf(String(36n ** 8n - 1n));
  const places = [{ shard: 0, at: Number.MAX_SAFE_INTEGER, sub: 0, fingerprint }];
  while (Position.of(...places).toString().length <= ROOM) {
    places.push({ ...places[0]!, shard: places.length });
  }
  return places.length - 1;
})();

/**
 * Checks that an id has room for a topic.
 *
 * @throws {RangeError} If the topic has too many partitions.
 */
export function checkPartitions(topic: string, count: number): void {
  if (count <= MAX_PARTITIONS) return;
  throw new RangeError(
    `Cannot use channel ${
      quote(topic)
    } on kafka: its topic has ${count} partitions, an id has room for ${MAX_PARTITIONS}`,
  );
}
