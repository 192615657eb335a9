/**
 * Publish to receive, over many channels of one process at a steady rate:
 * `deno run -A --import-map tests/import_map.json tests/bench/redis_stream_latency.ts redis-stream://localhost`
 */

import { Broadcast } from "../../mod.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { print } from "./report.ts";

/** What is measured. */
export interface Load {
  /** How many channels the process subscribes to. */
  readonly channels: number;
  /** Events per second, each on the next channel in turn. */
  readonly rate: number;
  /** How many events. */
  readonly events: number;
  /** The channels' names, for those that remove them afterwards. */
  readonly names?: string[];
}

/** Milliseconds. */
export interface Latencies {
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
  /** From the first call to the last confirmation of all subscriptions. */
  readonly subscribed: number;
  /** What this process used of a core, and so did all of the load. */
  readonly cores: number;
}

/** Measures a load, once the channels are warm. */
export async function measure(
  url: string,
  { channels, rate, events, names = [] }: Load,
): Promise<Latencies> {
  await using publisher = new Broadcast(url);
  await using broadcast = new Broadcast(url);
  names.push(...Array.from({ length: channels }, uniqueChannel));
  const delays: number[] = [];
  const all = Promise.withResolvers<void>();
  const warm = Promise.withResolvers<void>();
  const started = performance.now();
  const subscriptions = await Promise.all(names.map((name) => broadcast.subscribe(name)));
  const subscribed = performance.now() - started;
  let warmed = 0;
  for (const subscription of subscriptions) {
    void (async () => {
      for await (const { message } of subscription) {
        if (message === "warm") {
          if (++warmed === channels) warm.resolve();
          continue;
        }
        delays.push(performance.now() - Number(message));
        if (delays.length === events) all.resolve();
      }
    })();
  }
  await Promise.all(names.map((name) => publisher.publish(name, "warm")));
  await warm.promise;
  const begin = performance.now();
  const before = process();
  for (let sent = 0; sent < events;) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    const due = Math.min(events, Math.floor((performance.now() - begin) * rate / 1000));
    for (; sent < due; sent++) {
      void publisher.publish(names[(sent * 7) % channels]!, String(performance.now()));
    }
  }
  await all.promise;
  const cores = (process() - before) / (performance.now() - begin);
  delays.sort((one, other) => one - other);
  return {
    p50: delays[Math.floor(events * 0.5)]!,
    p99: delays[Math.floor(events * 0.99)]!,
    most: delays.at(-1)!,
    subscribed,
    cores,
  };
}

/** The processor time of this process, in milliseconds, where the system tells it. */
function process(): number {
  const { user, system } = (globalThis as unknown as {
    process?: { cpuUsage(): { user: number; system: number } };
  }).process?.cpuUsage() ?? { user: NaN, system: NaN };
  return (user + system) / 1000;
}

if (import.meta.main) {
  const url = Deno.args[0] ?? "redis-stream://localhost";
  for (const channels of [1, 500, 5_000]) {
    const found = await measure(url, { channels, rate: 1_000, events: 10_000 });
    const shown = Object.entries(found).map(([name, value]) => `${name} ${value.toFixed(2)}`);
    print(`${channels} channels: ${shown.join(", ")}`);
  }
}
