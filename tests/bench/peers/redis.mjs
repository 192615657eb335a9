/**
 * Ways to broadcast over Redis: a connection that publishes, one that listens, and readers behind it.
 *
 * @module
 */

import { Redis } from "ioredis";
import { follow, ours } from "./broker.mjs";

/** Nothing may be lost here, however far a reader is behind. */
const MORE = 1 << 20;
/** A stream that was left behind by a run that was killed goes by itself, after so many seconds. */
const LIFETIME = 3_600;

/** Each gives its readers to `read`, and returns how to publish, and how to close. */
const CONTENDERS = {
  "redis://": ours,

  async "redis-stream://"({ url, ...rest }) {
    const contender = await ours({
      url: url.replace(/^redis/, "redis-stream"),
      ...rest,
    });
    return temporary(contender, url, rest.channel);
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
    return temporary(contender, field.url, `${prefix}${field.channel}`);
  },
};

/** Starts the readers of a contender. */
export function open(name, options) {
  return follow(CONTENDERS[name], options);
}

/** A contender whose stream does not outlive it for long. */
function temporary({ publish, close }, url, key) {
  const redis = new Redis(url);
  return {
    publish,
    ready: () => redis.expire(key, LIFETIME),
    async close() {
      await close();
      await redis.del(key);
      await redis.quit();
    },
  };
}
