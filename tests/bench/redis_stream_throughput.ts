/**
 * Publishing against the bare client, taking turns:
 * `deno run -A --import-map tests/import_map.json tests/bench/redis_stream_throughput.ts redis-stream://localhost`
 */

import { Redis } from "ioredis";
import { Broadcast } from "../../mod.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { print } from "./report.ts";
import { medians, ratio, rounds, spread } from "./rounds.ts";

const MESSAGES = 5_000;
const SLICES = 5;
const PADDING = " ".repeat(100);

const url = Deno.args[0] ?? "redis-stream://localhost";
const client = new Redis(url.replace("-stream", ""));
const broadcast = new Broadcast(url);
const channels = [uniqueChannel(), uniqueChannel()];
await broadcast.connect();

const sides = [
  { name: "broadcast", burst: () => published(broadcast), one: one(broadcast) },
  { name: "ioredis pipeline", burst: pipelined, one: alone },
];

for (
  const [name, run, count] of [["burst", "burst", MESSAGES], ["one by one", "one", 300]] as const
) {
  const slices = await rounds(7 * SLICES, sides, async (side) => {
    const begin = performance.now();
    await side[run](count);
    return count / (performance.now() - begin) * 1000;
  });
  const [ours, bare] = slices.map((all) => medians(all, SLICES));
  const [mine, theirs] = [spread(ours!), spread(bare!)].map(({ median }) => Math.round(median));
  const { median, least, most } = ratio(ours!, bare!);
  const shown = [median, least, most].map((value) => value.toFixed(2));
  print(`${name}: ${mine} against ${theirs} per second, ${shown[0]} (${shown[1]} to ${shown[2]})`);
}
await broadcast.disconnect();
await client.del(...channels);
client.disconnect();

async function published(to: Broadcast): Promise<void> {
  await Promise.all(
    Array.from({ length: MESSAGES }, (_, n) => to.publish(channels[0]!, n + PADDING)),
  );
}

async function pipelined(): Promise<void> {
  const pipeline = client.pipeline();
  for (let n = 0; n < MESSAGES; n++) {
    pipeline.xadd(channels[1]!, "MAXLEN", "~", 10_000, "*", "message", n + PADDING);
  }
  await pipeline.exec();
}

function one(to: Broadcast) {
  return async (count: number) => {
    for (let n = 0; n < count; n++) await to.publish(channels[0]!, n + PADDING);
  };
}

async function alone(count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    await client.xadd(channels[1]!, "MAXLEN", "~", 10_000, "*", "message", n + PADDING);
  }
}
