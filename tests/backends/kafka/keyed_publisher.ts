/**
 * Another process: publishes what has numbered keys, a few at a time.
 * `keyed_publisher.ts <url> <channel> <count>`
 */

import { Broadcast } from "../../../mod.ts";
import { numbered } from "../../conformance/harness.ts";

const [url, channel, count] = Deno.args as [string, string, string];
const BATCH = 10;

await using broadcast = new Broadcast(url);
const keys = numbered(Number(count));
for (let from = 0; from < keys.length; from += BATCH) {
  const batch = keys.slice(from, from + BATCH);
  await Promise.all(batch.map((key) => broadcast.publish(channel, key, { key })));
}
