/**
 * Reads a page of a topic over all its partitions.
 *
 * @module
 */

import type { Item, LogGap, Page, ReadOptions } from "../../../core/backend/contract.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { isGone, isOutOfRange, unreadable } from "../errors.ts";
import { boundsOf, checkPartitions } from "../offsets.ts";
import { PartitionReader, Places } from "../partition_reader.ts";
import { Backward, Forward, type Source } from "../partition_records.ts";
import type { Lead } from "../topics.ts";
import { endsBefore } from "./page_end.ts";

/** What is fetched for one page, about. */
const MAX_PAGE = 4 * 1024 * 1024;
/** How often a page is begun anew since records were deleted while it was read. */
const ATTEMPTS = 8;

/**
 * Reads a page of a topic, over all its partitions: in each by offset, in all by
 * time. A topic that does not exist is empty, and is not created.
 *
 * @throws {RangeError} If it has more partitions than fit into an id.
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
        if (leads.length === 0) return missing(options);
        checkPartitions(topic, leads.length);
        return options.after
          ? await forward(cluster, topic, leads, { ...options, after: options.after })
          : await backward(cluster, topic, leads, options);
      });
    } catch (error) {
      if (!isOutOfRange(error) || attempt === ATTEMPTS) throw unreadable(error);
    }
  }
}

async function find(cluster: Cluster, topic: string): Promise<readonly Lead[]> {
  try {
    return await cluster.topics.look(topic);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function missing({ after = Position.start }: ReadOptions): Page {
  const gap: LogGap = { cause: "ahead", restart: Position.start };
  return { from: after, items: after.newest ? [gap] : [] };
}

async function forward(
  cluster: Cluster,
  topic: string,
  leads: readonly Lead[],
  { after, before, limit }: ReadOptions & { readonly after: Position },
): Promise<Page> {
  const bounds = await boundsOf(cluster, topic, leads);
  const ends = await endsBefore({ cluster, topic, leads, bounds }, before);
  const places = new Places(after);
  const items: Item[] = [];
  /** What lies before the oldest record of partitions that were trimmed. */
  const passed = new Map<number, Place>();
  const report = (told: readonly Item[]) => {
    for (const item of told) {
      if (item.place) passed.set(item.place.shard, item.place);
      else items.push(item);
    }
  };
  const sources = leads.map((lead) => {
    const { begin, end } = bounds.get(lead.partition)!;
    const lane = new PartitionReader(places, lead.partition);
    const options = {
      cluster,
      topic,
      lead,
      begin,
      end: ends.get(lead.partition)!,
      ...part(leads, limit),
    };
    report(lane.seek({ begin, end }));
    return new Forward(options, lane, report);
  });
  await merge(sources, limit, (item) => {
    if (item.place) passed.delete(item.place.shard);
    items.push(item);
  });
  // Where nothing of a partition is in the page, its gap is not to come again with the next.
  for (const place of passed.values()) items.push({ place });
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

/** Moves records from the sources, the one that is next of them all first. */
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
    const item = next.shift();
    if (item.place) count++;
    move(item);
  }
}

/** What one partition adds to a page, about. */
function part({ length }: readonly Lead[], limit: number): { share: number; count: number } {
  return {
    share: Math.max(128 * 1024, Math.min(1024 * 1024, MAX_PAGE / length)),
    count: Math.min(limit, Math.ceil(2 * limit / length)),
  };
}
