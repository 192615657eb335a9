/**
 * Growth: what subscribing, publishing and leaving take, and what is held, with ever more channels,
 * subscribers, or bytes of payload.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import process from "node:process";
import { bursts, pause, turn } from "./pace.mjs";
import { Tally } from "./tally.mjs";

/** Nothing may be lost here, however far a reader is behind. */
const MORE = 1 << 20;
/** Messages that are published. With many subscribers of each, so many deliveries. */
const MESSAGES = 2_000;
const DELIVERIES = 200_000;
/** Fewer would weigh what the first subscription loads. */
const WEIGHED = 100;
/** How many bytes are published, and at least and most in how many messages. */
const BYTES = 64 * 1024 * 1024;
const [FEWEST, MOST] = [200, 4_000];
/** How often the event loop is looked at, in milliseconds. */
const LOOK = 5;
/** Bursts. The next one waits until all have got the one before: brokers drop readers that lag by megabytes. */
const SMALL = { size: 64, milliseconds: 0 };
const LARGE = { size: 8, milliseconds: 0 };

/** Each starts, and returns how to subscribe a reader to a channel, to publish, and to close. */
const CONTENDERS = {
  "memory://": () => ours("memory://"),

  async "events.on"() {
    const { EventEmitter, on } = await import("node:events");
    const emitter = new EventEmitter().setMaxListeners(0);
    return {
      subscribe: (channel, receive) => reading(on(emitter, channel), receive),
      publish: (channel, message) => void emitter.emit(channel, message),
    };
  },

  async "oRPC"({ url }) {
    if (url) return await orpcOn(url);
    const { MemoryPublisher } = await import("@orpc/experimental-publisher/memory");
    const publisher = new MemoryPublisher({ maxBufferedEvents: MORE });
    return {
      subscribe: (channel, receive) => reading(publisher.subscribe(channel), receive),
      publish: (channel, message) => publisher.publish(channel, { message }),
    };
  },

  async "graphql-subscriptions"() {
    const { EventEmitter } = await import("node:events");
    const { PubSub } = await import("graphql-subscriptions");
    const pubsub = new PubSub({ eventEmitter: new EventEmitter().setMaxListeners(0) });
    return {
      subscribe: (channel, receive) => reading(pubsub.asyncIterableIterator(channel), receive),
      publish: (channel, message) => pubsub.publish(channel, { message }),
    };
  },

  /** The platform's means: a stream for each subscription, and a loop over those of a channel. */
  "ReadableStream"() {
    const channels = new Map();
    return {
      subscribe(channel, receive) {
        const controllers = channels.get(channel) ?? new Set();
        channels.set(channel, controllers);
        let mine;
        const stream = new ReadableStream({ start: (controller) => void (mine = controller) });
        controllers.add(mine);
        void follow(stream, receive);
        return () => {
          controllers.delete(mine);
          mine.close();
        };
      },
      publish(channel, message) {
        for (const controller of channels.get(channel)) controller.enqueue(message);
      },
    };
  },

  "redis://": ({ url }) => ours(url),

  async "redis-stream://"({ url }) {
    const contender = await ours(url.replace(/^redis/, "redis-stream"));
    const redis = await client(url);
    const used = new Set();
    return {
      ...contender,
      publish(channel, message) {
        used.add(channel);
        return contender.publish(channel, message);
      },
      async close() {
        await contender.close();
        for (const channel of used) void redis.unlink(channel);
        await redis.quit();
      },
    };
  },

  async "graphql-redis-subscriptions"({ url }) {
    const { RedisPubSub } = await import("graphql-redis-subscriptions");
    const pubsub = new RedisPubSub({ publisher: await client(url), subscriber: await client(url) });
    return {
      async subscribe(channel, receive) {
        const id = await pubsub.subscribe(channel, receive);
        return () => pubsub.unsubscribe(id);
      },
      publish: (channel, message) => pubsub.publish(channel, { message }),
      close: () => pubsub.close(),
    };
  },

  /** The client alone: a callback that looks up the readers of a channel. */
  async "ioredis"({ url }) {
    const [publisher, subscriber] = [await client(url), await client(url)];
    const channels = new Map();
    subscriber.on("message", (channel, message) => {
      for (const receive of channels.get(channel) ?? []) receive(message);
    });
    return {
      async subscribe(channel, receive) {
        const readers = channels.get(channel) ?? [];
        channels.set(channel, readers);
        if (readers.push(receive) === 1) await subscriber.subscribe(channel);
        return () => channels.delete(channel) && subscriber.unsubscribe(channel);
      },
      publish: (channel, message) => publisher.publish(channel, message),
      close: () => Promise.all([publisher.quit(), subscriber.quit()]),
    };
  },
};

/** What grows, and what one turn brings of it. */
const TOPICS = {
  async channels(start, count) {
    return await populate(start, Array.from({ length: count }, (_, index) => named(index)));
  },
  async subscribers(start, count) {
    const channel = named(0);
    return await populate(start, Array.from({ length: count }, (_) => channel));
  },
  payload: publishBytes,
};

/** Lets a contender grow. */
export function open(contender, { url, grows }) {
  const start = () => CONTENDERS[contender]({ url });
  return { race: ({ count }) => TOPICS[grows](start, count) };
}

/** A subscription for each name, all at once; then messages; then all leave at once. */
async function populate(start, names) {
  const { subscribe, publish, close } = await start();
  const channels = [...new Set(names)];
  const each = names.length / channels.length;
  const messages = Math.ceil(Math.min(MESSAGES, DELIVERIES / each));
  const tally = new Tally(1);
  const receive = () => tally.add(0);
  const before = await heap();
  const coming = await watched(() => Promise.all(names.map((name) => subscribe(name, receive))));
  const after = await heap();
  let next = 0;
  const publishOne = (message) => {
    tally.owe(each - 1); // what one message is beyond that which is owed for it
    return publish(channels[next++ % channels.length], message);
  };
  const speed = await bursts({ publish: publishOne, tally }, { ...SMALL, least: messages });
  const leaving = await watched(() => Promise.all(coming.result.map((leave) => leave())));
  await close?.();
  return {
    subscribe: coming.taken * 1_000 / names.length,
    publish: 1_000_000 / speed / each,
    leave: leaving.taken * 1_000 / names.length,
    block: Math.max(coming.block, leaving.block),
    ...names.length >= WEIGHED && { memory: (after - before) / names.length },
  };
}

/** One subscription, and messages of so many bytes. */
async function publishBytes(start, count) {
  const { subscribe, publish, close } = await start();
  const messages = Math.min(MOST, Math.max(FEWEST, Math.ceil(BYTES / count)));
  const tally = new Tally(1);
  const leave = await subscribe(named(0), () => tally.add(0));
  const before = await heap();
  let number = 0;
  // Each is a text of its own, and not one that is put together when it is first read.
  const text = () => Buffer.alloc(count, 97 + number++ % 26).latin1Slice();
  const publishOne = () => publish(named(0), text());
  const speed = await bursts({ publish: publishOne, tally }, { ...LARGE, least: messages });
  const after = await heap();
  await leave();
  await close?.();
  return { publish: 1_000_000 / speed, memory: Math.max(0, after - before) / 1024 };
}

async function ours(url) {
  const { Broadcast } = await import("@broadcaster/broadcaster");
  const broadcast = new Broadcast(url);
  await broadcast.connect();
  return {
    async subscribe(channel, receive) {
      const subscription = await broadcast.subscribe(channel);
      void follow(subscription, receive);
      return () => subscription.close();
    },
    publish: (channel, message) => broadcast.publish(channel, message),
    close: () => broadcast.disconnect(),
  };
}

async function orpcOn(url) {
  const { IORedisPublisher } = await import("@orpc/experimental-publisher/ioredis");
  const [commander, listener] = [await client(url), await client(url)];
  const publisher = new IORedisPublisher({ commander, listener, maxBufferedEvents: MORE });
  return {
    subscribe: (channel, receive) => publisher.subscribe(channel, receive),
    publish: (channel, message) => publisher.publish(channel, { message }),
    close: () => Promise.all([commander.quit(), listener.quit()]),
  };
}

/** A client that is connected. */
async function client(url) {
  const { Redis } = await import("ioredis");
  const redis = new Redis(url);
  await redis.ping();
  return redis;
}

/** Reads as users do, and returns how to leave. */
function reading(iterator, receive) {
  void follow(iterator, receive);
  return () => iterator.return();
}

async function follow(messages, receive) {
  for await (const _ of messages) receive();
}

/**
 * What something brings, how long it takes, and how long it lets the event loop wait at most, in
 * milliseconds: of that, what this process computed. The rest is what others took of the processor.
 */
async function watched(act) {
  let [block, since, cpu] = [0, performance.now(), process.cpuUsage()];
  const timer = setInterval(() => {
    const now = performance.now();
    const { user, system } = process.cpuUsage(cpu);
    block = Math.max(block, Math.min(now - since, (user + system) / 1_000));
    [since, cpu] = [now, process.cpuUsage()];
  }, LOOK);
  await pause(2 * LOOK);
  const start = performance.now();
  const result = await act();
  const taken = performance.now() - start;
  await pause(2 * LOOK);
  clearInterval(timer);
  return { result, taken, block };
}

async function heap() {
  await turn();
  for (let times = 0; times < 3; times++) globalThis.gc();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Channels of one process, which meets no other one at the broker. */
function named(index) {
  return `${PREFIX}${index}`;
}

const PREFIX = `broadcaster_bench_${process.pid}_${Date.now()}_`;
