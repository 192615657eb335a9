/**
 * What is stored of a topic.
 *
 * @module
 */

import { Position } from "../../position.ts";
import type { Cluster, Lead } from "./cluster.ts";

/** What is stored of a partition. */
export interface Bounds {
  /** The offset of the oldest record, or the one that the next will have. */
  readonly begin: number;
  /** The offset that the next record will have. */
  readonly end: number;
}

/** What `listOffsets` takes for a time. */
const BEGIN = -2;
const END = -1;

/** What is stored of some partitions. */
export async function boundsOf(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
): Promise<ReadonlyMap<number, Bounds>> {
  const [begins, ends] = await Promise.all([
    offsets(cluster, topic, leads, BEGIN),
    offsets(cluster, topic, leads, END),
  ]);
  return new Map(leads.map(({ partition }) => {
    const begin = begins.get(partition)!;
    return [partition, { begin, end: Math.max(begin, ends.get(partition)!) }];
  }));
}

async function offsets(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
  timestamp: number,
): Promise<Map<number, number>> {
  const leaders = new Set(leads.map(({ leader }) => leader));
  const answers = await Promise.all([...leaders].map(async (leader) => {
    const broker = await cluster.node(leader);
    const partitions = leads.filter((lead) => lead.leader === leader)
      .map(({ partition }) => ({ partition, timestamp }));
    const { responses } = await cluster.request(() =>
      broker.listOffsets({ isolationLevel: 0, topics: [{ topic, partitions }] })
    );
    return responses[0]!.partitions;
  }));
  return new Map(answers.flat().map(({ partition, offset }) => [partition, Number(offset)]));
}

/** What an id has room for, besides what names its channel. */
const ROOM = 1024 - 15;

/** How many partitions fit into an id, each with the largest offset and the latest time. */
export const MAX_PARTITIONS: number = (() => {
  const witness = (2n ** 63n - 1n).toString(36);
  const places = [{ shard: 0, at: Number.MAX_SAFE_INTEGER, sub: 0, witness }];
  while (Position.of(...places).toString().length <= ROOM) {
    places.push({ ...places[0]!, shard: places.length });
  }
  return places.length - 1;
})();

/**
 * Holds a topic against the room of an id.
 *
 * @throws {RangeError} If it has too many partitions.
 */
export function checkPartitions(topic: string, count: number): void {
  if (count <= MAX_PARTITIONS) return;
  throw new RangeError(
    `Cannot use channel "${topic}" on kafka: its topic has ${count} partitions, an id has room for ${MAX_PARTITIONS}`,
  );
}
