/**
 * What is held in memory: by each subscription to a channel, or by each channel with one.
 *
 * @module
 */

import process from "node:process";
import { turn } from "./pace.mjs";

/** Each subscribes to a channel for each name, and returns what it holds and how to let go. */
const CONTENDERS = {
  async "memory://"(names) {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const broadcast = new Broadcast("memory://");
    const held = [];
    for (const name of names) held.push(await broadcast.subscribe(name));
    return { held, release: () => broadcast.disconnect() };
  },

  /** The limit: the stream that a subscription is, on no channel. */
  "ReadableStream"(names) {
    const held = names.map((_) => new ReadableStream({ pull() {} }, { highWaterMark: 0 }));
    return { held, release: () => Promise.all(held.map((stream) => stream.cancel())) };
  },

  async "events.on"(names) {
    const { EventEmitter, on } = await import("node:events");
    const emitter = new EventEmitter().setMaxListeners(0);
    const held = names.map((name) => on(emitter, name));
    return { held, release: () => Promise.all(held.map((iterator) => iterator.return())) };
  },

  async "oRPC"(names) {
    const { MemoryPublisher } = await import("@orpc/experimental-publisher/memory");
    const publisher = new MemoryPublisher();
    const held = names.map((name) => publisher.subscribe(name));
    return { held, release: () => Promise.all(held.map((iterator) => iterator.return())) };
  },
};

/** Weighs a contender. */
export function open(contender, { subscriptions, channels }) {
  const names = Array.from({ length: subscriptions }, (_, index) => `bench ${index % channels}`);
  return { race: () => weigh(CONTENDERS[contender], names) };
}

/** The bytes of heap for each subscription. */
async function weigh(start, names) {
  const before = await heap();
  const { held, release } = await start(names);
  const after = await heap();
  const weight = (after - before) / held.length;
  await release();
  return weight;
}

async function heap() {
  await turn();
  for (let times = 0; times < 3; times++) globalThis.gc();
  return process.memoryUsage().heapUsed;
}
