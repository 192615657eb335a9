import type { Broadcast, Gap } from "../../mod.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import type { RedisCluster } from "../services/redis_cluster.ts";

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
