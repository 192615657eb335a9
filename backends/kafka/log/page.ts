/**
 * Reads a page of a topic over all its partitions.
 *
 * @module
 */

import type { Item, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { means, unreadable } from "../errors.ts";
import { boundsOf, checkPartitions } from "../offsets.ts";
import { breaksOfMissing, PartitionReader } from "../partition_reader.ts";
import { Backward, Forward, type Source } from "../partition_records.ts";
import type { Lead } from "../topics.ts";
import { endsBefore } from "./page_end.ts";

/** The bytes that are fetched for one page, approximately. */
const MAX_PAGE = 4 * 1024 * 1024;
/** Maximum number of attempts to read a page, if records are removed meanwhile. */
const ATTEMPTS = 8;

/**
 * Reads a page of a topic. Each partition is read by offset, and all of them are merged by time. A
 * topic that does not exist counts as empty, and is not created.
 *
 * @throws {RangeError} If the topic has more partitions than fit into an id.
 */
export async function readPage(
  cluster: Cluster,
  topic: string,
  options: ReadOptions,
): Promise<Page> {
  for (let attempt = 0;; attempt++) {
    try {
      return await cluster.settle(async () => {
        const leads = await find(cluster, topic);
        checkPartitions(topic, leads.length);
        const { after } = options;
        return after
          ? await forward(cluster, topic, leads, { ...options, after })
          : await backward(cluster, topic, leads, options);
      });
    } catch (error) {
      if (!means(error, "range") || attempt === ATTEMPTS) throw unreadable(error);
    }
  }
}

async function find(cluster: Cluster, topic: string): Promise<readonly Lead[]> {
  try {
    return await cluster.topics.look(topic);
  } catch (error) {
    if (means(error, "gone")) return [];
    throw error;
  }
}

async function forward(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
  { after, before, limit }: ReadOptions & { readonly after: Position },
): Promise<Page> {
  const bounds = await boundsOf(cluster, topic, leads);
  const ends = await endsBefore({ cluster, topic, leads, bounds }, before);
  const items: Item[] = breaksOfMissing(after, leads);
  const sources = leads.map((lead) => {
    const { partition } = lead;
    const stored = bounds.get(partition)!;
    const end = ends.get(partition)!;
    return new Forward(
      { cluster, topic, lead, begin: stored.begin, end, ...part(leads, limit) },
      new PartitionReader(partition, after.in(partition)),
      stored,
    );
  });
  await merge(sources, limit, (item) => items.push(item));
  return { from: after, items };
}

async function backward(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
  { before, limit }: ReadOptions,
): Promise<Page> {
  const bounds = await boundsOf(cluster, topic, leads);
  const ends = await endsBefore({ cluster, topic, leads, bounds }, before);
  const sources = leads.map((lead) =>
    new Backward({
      cluster,
      topic,
      lead,
      begin: bounds.get(lead.partition)!.begin,
      end: ends.get(lead.partition)!,
      ...part(leads, limit),
    })
  );
  const items: Item[] = [];
  await merge(sources, limit, (item) => items.push(item));
  const places = sources.toSorted((one, other) => other.time - one.time)
    .map(({ place }) => place).filter((place) => place !== undefined);
  return { from: Position.of(...places), items: items.reverse() };
}

/** Takes items from the sources, in their common order. */
async function merge(
  sources: readonly Source[],
  limit: number,
  move: (item: Item) => void,
): Promise<void> {
  let count = 0;
  while (count < limit) {
    const dry = sources.filter(({ isDry }) => isDry);
    if (dry.length > 0) {
      const bytes = sources.reduce((sum, source) => sum + source.bytes, 0);
      if (count > 0 && bytes >= MAX_PAGE) return;
      await Promise.all(dry.map((source) => source.fill()));
      continue;
    }
    let next: Source | undefined;
    for (const source of sources) if (source.isBefore(next)) next = source;
    if (!next) return;
    const { item, time } = next.shift();
    if (time !== -Infinity) count++;
    move(item);
  }
}

/** The share of one partition in a page, approximately. */
function part({ length }: readonly Lead[], limit: number): { share: number; count: number } {
  return {
    share: Math.max(128 * 1024, Math.min(1024 * 1024, MAX_PAGE / length)),
    count: Math.min(limit, Math.ceil(2 * limit / length)),
  };
}
