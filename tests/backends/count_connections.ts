/** How many connections a broadcast opens, as a proxy counts them. */

import { assertEquals } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { messages, uniqueChannel, within } from "../conformance/harness.ts";
import type { Proxy } from "../services/proxy.ts";

/** How many channels it has. */
export const CHANNELS = 50;

/** Subscribes and publishes to one channel, and to many. */
export async function use(url: string, proxy: Proxy, roles: number): Promise<string[]> {
  await using broadcast = new Broadcast(url);
  const channels = Array.from({ length: CHANNELS }, uniqueChannel);
  for (const some of [channels.slice(0, 1), channels.slice(1)]) {
    await within(Promise.all(some.map(async (channel) => {
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, channel);
      assertEquals(await messages(subscription, 1), [channel]);
    })));
    assertEquals(proxy.connections, roles);
    assertEquals(broadcast.stats().connections, roles);
  }
  return channels;
}
