/**
 * Ways to broadcast over Redis: a connection that publishes, one that listens, and readers behind it.
 *
 * @module
 */

import { Redis } from "ioredis";
import { inFlight, message, ready, timed } from "./pace.mjs";
import { Tally } from "./tally.mjs";

/** Nothing may be lost here, however far a reader is behind. */
const MORE = 1 << 20;
/** A stream that was left behind by a run that was killed goes by itself, after so many seconds. */
const LIFETIME = 3_600;

/** Each gives its readers to `read`, and returns how to publish, and how to close. */
const CONTENDERS = {
  async "redis://"({ url, channel, readers, read }) {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const broadcast = new Broadcast(url);
    for (let reader = 0; reader < readers; reader++) {
      read(reader, await broadcast.subscribe(channel));
    }
    return {
      publish: (message) => broadcast.publish(channel, message),
      close: () => broadcast.disconnect(),
    };
  },

  async "redis-stream://"({ url, ...rest }) {
    const contender = await CONTENDERS["redis://"]({
      url: url.replace(/^redis/, "redis-stream"),
      ...rest,
    });
    return { ...contender, key: rest.channel };
  },

  /** The client alone: a callback that calls every reader. */
  async "ioredis"({ url, channel, readers, receive }) {
    const [publisher, subscriber] = [new Redis(url), new Redis(url)];
    subscriber.on("message", () => {
      for (let reader = 0; reader < readers; reader++) receive(reader);
    });
    await subscriber.subscribe(channel);
    return {
      publish: (message) => publisher.publish(channel, message),
      close: () => Promise.all([publisher.quit(), subscriber.quit()]),
    };
  },

  async "graphql-redis-subscriptions"({ url, channel, readers, read }) {
    const { RedisPubSub } = await import("graphql-redis-subscriptions");
    const pubsub = new RedisPubSub({ publisher: new Redis(url), subscriber: new Redis(url) });
    for (let reader = 0; reader < readers; reader++) {
      read(reader, pubsub.asyncIterator(channel));
    }
    return {
      publish: (message) => pubsub.publish(channel, { message }),
      close: () => pubsub.close(),
    };
  },

  async "oRPC"({ url, channel, readers, read }, options = {}) {
    const { IORedisPublisher } = await import("@orpc/experimental-publisher/ioredis");
    const [commander, listener] = [new Redis(url), new Redis(url)];
    const publisher = new IORedisPublisher({
      commander,
      listener,
      maxBufferedEvents: MORE,
      ...options,
    });
    for (let reader = 0; reader < readers; reader++) read(reader, publisher.subscribe(channel));
    return {
      publish: (message) => publisher.publish(channel, { message }),
      close: () => Promise.all([commander.quit(), listener.quit()]),
    };
  },

  /** It keeps a log, too, of two minutes as in its documentation. */
  async "oRPC, resumable"(field) {
    const prefix = "broadcaster-bench:";
    const contender = await CONTENDERS.oRPC(field, { resumeRetentionSeconds: 60 * 2, prefix });
    return { ...contender, key: `${prefix}${field.channel}` };
  },
};

/** Starts the readers of a contender. */
export async function open(name, { url, readers }) {
  const tally = new Tally(readers);
  const channel = `broadcaster_bench_${crypto.randomUUID()}`;
  let seen;
  function receive(reader) {
    seen?.();
    tally.add(reader);
  }
  async function follow(reader, messages) {
    for await (const _ of messages) receive(reader);
  }
  const read = (reader, messages) => void follow(reader, messages);
  const contender = await CONTENDERS[name]({ url, channel, readers, receive, read });
  const { publish, close, key } = contender;
  await ready({ publish, tally });
  const redis = key && new Redis(url);
  await redis?.expire(key, LIFETIME);
  return {
    race: ({ part, ...race }) =>
      part === undefined ? inFlight({ publish, tally }, race) : latency(race, part),
    async close() {
      await close();
      await redis?.del(key);
      await redis?.quit();
    },
  };

  /**
   * The milliseconds from publish to receive that such a part of the messages stays below. There is
   * one reader, who gets them in the order in which they were sent.
   */
  async function latency({ least }, part) {
    const sentAt = [];
    const delays = [];
    seen = () => delays.push(performance.now() - sentAt[delays.length]);
    await timed(tally, async () => {
      for (let sent = 1; sent <= least; sent++) {
        tally.owe(1);
        sentAt.push(performance.now());
        await publish(message(sent));
      }
      await tally.settle();
      return least;
    });
    seen = undefined;
    return delays.sort((a, b) => a - b)[Math.floor(least * part)];
  }
}
