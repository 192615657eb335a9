/**
 * Another process: publishes numbered events as fast as it can.
 * `publisher.ts <url> <channel> <prefix> <count>`
 */

import { Broadcast } from "../../mod.ts";

const [url, channel, prefix, count] = Deno.args as [string, string, string, string];
const BATCH = 100;

await using broadcast = new Broadcast(url);
for (let number = 0; number < Number(count);) {
  const batch = Array.from({ length: BATCH }, () => `${prefix}${number++}`);
  await Promise.all(batch.map((message) => broadcast.publish(channel, message)));
}
