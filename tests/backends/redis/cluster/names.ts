import type { Broadcast, Gap } from "../../../../mod.ts";
import { uniqueChannel } from "../../../conformance/harness.ts";
import type { RedisCluster } from "../../../services/redis_cluster.ts";

/** A channel that belongs to a node. */
export async function named(cluster: RedisCluster, node: number): Promise<string> {
  for (;;) {
    const channel = uniqueChannel();
    if (await cluster.ownerOf(channel) === node) return channel;
  }
}

/** The gaps of all channels, as they come. */
export function gapsOf(broadcast: Broadcast): [channel: string, gap: Gap][] {
  const gaps: [string, Gap][] = [];
  broadcast.addEventListener("gap", ({ channel, gap }) => gaps.push([channel, gap]));
  return gaps;
}

/**
 * Publishes `m0`, `m1` and so on, always some at a time and each next one as soon as one is
 * answered; after a third of them something happens.
 */
export async function pour(
  broadcast: Broadcast,
  channel: string,
  count: number,
  happen?: () => Promise<void>,
): Promise<void> {
  let next = 0;
  let happening: Promise<void> | undefined;
  await Promise.all(Array.from({ length: 32 }, async () => {
    while (next < count) {
      if (next === Math.floor(count / 3)) happening = happen?.();
      await broadcast.publish(channel, `m${next++}`);
    }
  }));
  await happening;
}
