/**
 * The publisher of a run: two broadcasts, of which one is disconnected and replaced now and then,
 * publish to all channels. What became of each message is reported.
 */

import { Broadcast } from "@broadcaster/broadcaster";
import {
  config,
  disconnect,
  farewell,
  heap,
  obey,
  pause,
  report,
  saying,
  watch,
} from "./process.mjs";

const { url, channels, keys, log } = config;

/** How often messages are published, in milliseconds, and how many at most at a time. */
const PERIOD = 20;
const MOST = 10;
/** How many may be on their way: an outage must not fill the memory of the machine. */
const ON_THEIR_WAY = 2_000;
/** Every so many messages of a broadcast have a key, where there are keys. */
const KEYED = 7;
/** How long the outcomes of the last messages are waited for, in milliseconds. */
const PATIENCE = 30_000;

/** The messages that are on their way. */
const pending = new Map();
/** How many broadcasts each slot has had. */
const lives = { a: 0, b: 0 };
const current = {};
const leaving = new Set();
let isPublishing = false;

/** A broadcast, and how many messages it has published. */
function open(name) {
  return { name, broadcast: watch(new Broadcast(url), name), count: 0 };
}

function replace(slot) {
  const before = current[slot];
  current[slot] = open(`${slot}${++lives[slot]}`);
  if (!before) return;
  const left = disconnect(before.broadcast, before.name);
  leaving.add(left);
  return left.finally(() => leaving.delete(left));
}

/** Publishes a message: who, its number, how long its padding is, and the padding. */
async function publish(publisher, channel) {
  const { name, broadcast } = publisher;
  const number = ++publisher.count;
  const size = Math.random() < 0.1 ? Math.floor(Math.random() * 3_000) : number % 20;
  const id = `${name} ${number}`;
  const outcome = { t: "outcome", m: id, c: channel, from: Date.now() };
  pending.set(id, outcome);
  const key = keys && number % KEYED === 0 ? { idempotencyKey: `${config.run} ${id}` } : undefined;
  const message = `${id} ${size} ${"x".repeat(size)}`;
  try {
    const place = await broadcast.publish(channel, message, key);
    outcome.kind = "confirmed";
    if (place !== undefined) outcome.id = place;
  } catch (error) {
    outcome.kind = kindOf(error);
    outcome.error = saying(error);
  }
  outcome.to = Date.now();
  if (!pending.delete(id)) return;
  report(outcome);
}

function kindOf(error) {
  switch (error?.name) {
    case "OutcomeUnknownError":
      return "unknown";
    case "ConnectionError":
    case "RefusedError":
    case "ClosedError":
      return "rejected";
    default:
      return "failed";
  }
}

function some(count) {
  for (let sent = 0; sent < count && pending.size < ON_THEIR_WAY; sent++) {
    const slot = Math.random() < 0.5 ? "a" : "b";
    void publish(current[slot], channels[Math.floor(Math.random() * channels.length)]);
  }
}

async function run() {
  while (isPublishing) {
    some(Math.floor(Math.random() * (MOST + 1)));
    await pause(PERIOD);
  }
}

/** What is not settled in time never will be. */
async function settle() {
  const end = performance.now() + PATIENCE;
  while ((pending.size > 0 || leaving.size > 0) && performance.now() < end) await pause(20);
  for (const outcome of pending.values()) report({ ...outcome, kind: "pending" });
  pending.clear();
}

/** All that a log has, oldest first. */
async function past(broadcast, channel) {
  let events = [];
  for (;;) {
    const page = await broadcast.history(channel, { limit: 1_000, before: events[0]?.id });
    if (page.length === 0) break;
    events = [...page, ...events];
  }
  return { messages: events.map(messageOf), ids: events.map(({ id }) => id) };
}

function messageOf({ message }) {
  return message.split(" ", 2).join(" ");
}

let last;
let before;

obey({
  async ready() {
    replace("a");
    replace("b");
    await Promise.all([current.a, current.b].map(({ broadcast }) => broadcast.connect()));
    before = await heap();
    report({ t: "ready" });
  },
  start() {
    isPublishing = true;
    void run();
  },
  replace: ({ slot }) => replace(slot),
  burst: ({ count }) => some(count),
  async stop() {
    isPublishing = false;
    await settle();
    report({ t: "quiet" });
  },
  /** The marks are published by a broadcast that was not there before. */
  mark() {
    last ??= open("z1");
    for (const channel of channels) void publish(last, channel);
  },
  async read() {
    await settle();
    for (const channel of log ? channels : []) {
      for (let attempt = 0;; attempt++) {
        try {
          report({ t: "log", c: channel, ...await past(last.broadcast, channel) });
          break;
        } catch (error) {
          if (attempt === 5) throw error;
          await pause(500);
        }
      }
    }
    report({ t: "read" });
  },
  async leave() {
    const all = [current.a, current.b, ...last ? [last] : []];
    await Promise.all(all.map(({ broadcast, name }) => disconnect(broadcast, name)));
    delete current.a;
    delete current.b;
    last = undefined;
    farewell({ t: "left", heap: { before, after: await heap() } });
  },
});
