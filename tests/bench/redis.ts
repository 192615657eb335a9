/**
 * Redis against bare ioredis.
 *
 * @module
 */

import { Redis } from "ioredis";
import { broadcastSide, compare, type Side } from "./broker.ts";
import type { Report } from "./report.ts";

/** Measures what a broadcast on `redis://` costs over the client itself. */
export async function redis(url: string): Promise<Report> {
  return await compare("Redis", [await broadcastSide(url), await bare(url)], {
    windows: new Map([[1, 2_000], [64, 3_000], [Infinity, 5_000]]),
    rate: 1_000,
  });
}

async function bare(url: string): Promise<Side> {
  const [publisher, subscriber] = [new Redis(url), new Redis(url)];
  const channel = `bench_${crypto.randomUUID()}`;
  const side: Side = {
    name: "ioredis",
    publish: (message) => publisher.publish(channel, message),
    onMessage: () => {},
    close: () => Promise.all([publisher.quit(), subscriber.quit()]),
  };
  subscriber.on("messageBuffer", (_channel, payload) => side.onMessage(payload.toString()));
  await subscriber.subscribe(channel);
  return side;
}
