/**
 * What arrives while the link to Redis is cut again and again: a publisher whose link holds, and a
 * subscriber whose link does not. Each contender is used as its documentation says.
 *
 * @module
 */

import { createServer } from "node:http";
import { Redis } from "ioredis";
import { pause } from "./pace.mjs";

/** How often a message is published, in milliseconds. */
const PACE = 2;
/** How often it is looked whether the subscriber is back, and how long that may take, in milliseconds. */
const LOOK = 100;
const PATIENCE = 60_000;
/** How long nothing arrives before nothing more is expected, in milliseconds. */
const QUIET = 1_000;
/** Nothing may be dropped because of a slow reader. */
const MORE = 1 << 20;
/** What peers store goes by itself, after so many seconds. */
const LIFETIME = 600;
const PREFIX = "broadcaster-bench:";

/**
 * Each subscribes over the link, publishes to Redis itself, and returns how to publish and to close.
 * `receive` is called with each message, `tell` when the subscriber is told that some may be missing.
 */
const CONTENDERS = {
  async "redis://"({ url, link, channel, receive, tell }) {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const [publisher, subscriber] = [new Broadcast(url), new Broadcast(link)];
    const subscription = await subscriber.subscribe(channel, { onGap: tell });
    void (async () => {
      for await (const { message } of subscription) receive(message);
    })();
    return {
      publish: (message) => publisher.publish(channel, message),
      close: () => Promise.all([publisher.disconnect(), subscriber.disconnect()]),
    };
  },

  async "redis-stream://"({ url, link, ...rest }) {
    const [log, logLink] = [url, link].map((address) => address.replace(/^redis/, "redis-stream"));
    const contender = await CONTENDERS["redis://"]({ url: log, link: logLink, ...rest });
    return forgetting(contender, url, rest.channel);
  },

  /** With the connections that its documentation shows: they are made again after 50 ms and more. */
  async "graphql-redis-subscriptions"({ url, link, channel, receive }) {
    const { RedisPubSub } = await import("graphql-redis-subscriptions");
    const retryStrategy = (times) => Math.min(times * 50, 2_000);
    const pubsubOf = (address) =>
      new RedisPubSub({
        publisher: quiet(new Redis(address, { retryStrategy })),
        subscriber: quiet(new Redis(address, { retryStrategy })),
      });
    const [publisher, subscriber] = [pubsubOf(url), pubsubOf(link)];
    void (async () => {
      for await (const { message } of subscriber.asyncIterator(channel)) receive(message);
    })();
    return {
      publish: (message) => publisher.publish(channel, { message }),
      close: () => Promise.all([publisher.close(), subscriber.close()]),
    };
  },

  /** Its iterator ends with an error of the connection. So it is told; it subscribes again. */
  async "oRPC"({ url, link, channel, receive, tell }, options = {}) {
    const { IORedisPublisher } = await import("@orpc/experimental-publisher/ioredis");
    const { getEventMeta } = await import("@orpc/client");
    const clients = [];
    const publisherOf = (address) => {
      const [commander, listener] = [quiet(new Redis(address)), quiet(new Redis(address))];
      clients.push(commander, listener);
      return new IORedisPublisher({ commander, listener, maxBufferedEvents: MORE, ...options });
    };
    const [publisher, subscriber] = [publisherOf(url), publisherOf(link)];
    const leaving = new AbortController();
    const { signal } = leaving;
    void (async () => {
      for (let lastEventId; !signal.aborted;) {
        try {
          for await (const event of subscriber.subscribe(channel, { signal, lastEventId })) {
            lastEventId = getEventMeta(event)?.id ?? lastEventId;
            receive(event.message);
          }
        } catch {
          // With an id it goes on where it was: it is not told that something is missing.
          if (lastEventId === undefined) tell();
          await pause(10);
        }
      }
    })();
    return {
      publish: (message) => publisher.publish(channel, { message }),
      close() {
        leaving.abort();
        for (const client of clients) client.disconnect();
      },
    };
  },

  async "oRPC, resumable"(field) {
    const options = { resumeRetentionSeconds: 60 * 2, prefix: PREFIX };
    const contender = await CONTENDERS.oRPC(field, options);
    return forgetting(contender, field.url, `${PREFIX}${field.channel}`);
  },

  /** Two servers with the adapter, and a client of the one whose link is cut; that client's own is not. */
  async "Socket.IO, Redis streams"({ url, link, channel, receive, tell }) {
    const { Server } = await import("socket.io");
    const { createAdapter } = await import("@socket.io/redis-streams-adapter");
    const { io: connect } = await import("socket.io-client");
    const streamName = `${PREFIX}${channel}`;
    const redises = [];
    const serverOf = (address) => {
      const redis = quiet(new Redis(address));
      // It makes more connections like this one, whose errors nobody hears.
      const duplicate = redis.duplicate.bind(redis);
      redis.duplicate = (...args) => {
        const another = quiet(duplicate(...args));
        redises.push(another);
        return another;
      };
      redises.push(redis);
      const http = createServer();
      const adapter = createAdapter(redis, { streamName });
      const io = new Server(http, { adapter, connectionStateRecovery: {} });
      return { http, io };
    };
    const [publisher, subscriber] = [serverOf(url), serverOf(link)];
    await new Promise((resolve) => subscriber.http.listen(0, "127.0.0.1", resolve));
    const socket = connect(`http://127.0.0.1:${subscriber.http.address().port}`);
    socket.on("message", receive);
    let connected = false;
    socket.on("connect", () => {
      if (connected && !socket.recovered) tell();
      connected = true;
    });
    return forgetting(
      {
        publish: (message) => void publisher.io.emit("message", message),
        async close() {
          socket.close();
          await Promise.all([publisher.io.close(), subscriber.io.close()]);
          for (const redis of redises) redis.disconnect();
        },
      },
      url,
      streamName,
    );
  },
};

/** Starts a publisher and a subscriber. */
export async function open(name, { url, link }) {
  const channel = `broadcaster_bench_${crypto.randomUUID()}`;
  /** Numbers, and between them `undefined` for each time that the subscriber was told. */
  const got = [];
  let latest = 0;
  const receive = (message) => {
    latest = performance.now();
    got.push(Number(message));
  };
  const tell = () => void got.push(undefined);
  const { publish, close } = await CONTENDERS[name]({ url, link, channel, receive, tell });
  let number = 0;
  for (let tries = 0; got.length === 0; tries++) {
    if (tries === 100) throw new Error("Cannot start a race: the subscriber is not there");
    await publish(`${++number}`);
    await pause(100);
  }
  return {
    async race({ milliseconds }) {
      await pause(LOOK);
      got.length = 0;
      const first = number + 1;
      const start = performance.now();
      const published = [];
      for (let sent = 0; performance.now() - start < milliseconds; sent++) {
        published.push(publish(`${++number}`));
        const due = start + (sent + 1) * PACE - performance.now();
        await pause(Math.max(0, due));
      }
      await Promise.all(published);
      const last = number;
      // What is published from here on only shows that the subscriber is back.
      for (const end = performance.now() + PATIENCE; !got.some((one) => one > last);) {
        if (performance.now() > end) throw new Error("Cannot finish: the subscriber stays away");
        await publish(`${++number}`);
        await pause(LOOK);
      }
      for (latest = performance.now(); performance.now() - latest < QUIET;) await pause(LOOK);
      return account(got, first, last);
    },
    close,
  };
}

/**
 * What became of the messages with these numbers: what is missing was told if the subscriber was
 * told something between the neighbours of the hole.
 */
export function account(got, first, last) {
  const due = last - first + 1;
  const isDue = (number) => number >= first && number <= last;
  const seen = new Set(got.filter(isDue));
  let [silent, before, told] = [0, first - 1, false];
  for (const number of got) {
    if (number === undefined) told = true;
    else if (number > before) {
      const hole = range(before + 1, Math.min(number, last + 1));
      if (!told) silent += hole.filter((missing) => !seen.has(missing)).length;
      [before, told] = [number, false];
    }
  }
  return {
    delivered: 100 * seen.size / due,
    told: 100 * (due - seen.size - silent) / due,
    silent: 100 * silent / due,
    twice: got.filter(isDue).length - seen.size,
    gaps: got.filter((number) => number === undefined).length,
  };
}

function range(from, to) {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}

/** A client whose errors are expected: its links are cut. */
function quiet(redis) {
  return redis.on("error", () => {});
}

/** What is stored goes by itself, or when the contender is closed. */
function forgetting({ publish, close }, url, key) {
  const redis = new Redis(url);
  const timer = setInterval(() => void redis.expire(key, LIFETIME), 1_000);
  return {
    publish,
    async close() {
      clearInterval(timer);
      await close();
      await redis.unlink(key);
      await redis.quit();
    },
  };
}
