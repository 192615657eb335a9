/**
 * A process that opens and closes 100 subscriptions a second, in all ways in which that can be done,
 * and tells what it has left.
 */

import { setFlagsFromString } from "node:v8";
import { tally } from "./tally.mjs";
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
} from "../chaos/process.mjs";

const { url, log, names } = config;

// Optimized code grows for a long time, and is not a leak.
for (const flag of ["--no-opt", "--no-sparkplug"]) setFlagsFromString(flag);

/** How many subscriptions are opened each second. */
const RATE = 100;
/** For how long one is open at most, in milliseconds. */
const LIFE = 1_000;
/** How often a message is published, in milliseconds. */
const PERIOD = 20;
/** How many times the timers are counted: some of them come and go. */
const LOOKS = 30;

const broadcast = watch(new Broadcast(url), "soak");
/** A signal that outlives all subscriptions, as that of a server does. */
const lasting = new AbortController();
const visits = new Set();
const counts = { opened: 0, heard: 0, unopened: 0 };
let isOpening = false;
let visit = 0;
let latest;

/** What a fault of the network explains. */
function isExplained(error) {
  return ["ConnectionError", "OutcomeUnknownError"].includes(error?.name);
}

/** Each third channel of an endless number is visited once, where a broker forgets channels. */
function channelOf(number) {
  return number % 3 === 0 && !names ? `once-${number}` : `channel-${number % (names ?? 50)}`;
}

async function read(stream) {
  for await (const { id } of stream) {
    counts.heard++;
    latest = id;
  }
}

/** The ways to leave, of which each visit takes another one. */
const WAYS = [
  async (channel, options, left) => {
    const subscription = await broadcast.subscribe(channel, options);
    const reading = read(subscription);
    await left();
    subscription.close();
    await reading;
  },
  async (channel, options, left) => {
    // Not `AbortSignal.any()` with the lasting signal: Node 20 keeps a reference for each.
    const controller = new AbortController();
    const { signal } = controller;
    const subscription = await broadcast.subscribe(channel, { ...options, signal });
    const reading = read(subscription).catch((error) => {
      if (error?.name !== "AbortError") throw error;
    });
    await left();
    controller.abort();
    await reading;
  },
  async (channel, options, left) => {
    const subscription = await broadcast.subscribe(channel, { ...options, signal: lasting.signal });
    const reader = subscription.getReader();
    void reader.read().catch(() => {});
    await left();
    await reader.cancel();
  },
  async (channel, options, left) => {
    const subscription = await broadcast.subscribe(channel, options);
    const branches = subscription.tee();
    const reading = read(branches[0]);
    await left();
    for (const branch of branches) branch.close();
    await reading;
  },
  async (channel, options, left) => {
    const subscription = await broadcast.subscribe(channel, { ...options, signal: lasting.signal });
    setTimeout(() => subscription.close(), LIFE);
    for await (const _ of subscription) {
      counts.heard++;
      break;
    }
    await left();
  },
];

function optionsOf(number) {
  if (number % 7 === 0 && log) return { history: 5 };
  if (number % 11 === 0 && latest !== undefined) return { after: latest };
  return {};
}

async function attend(number) {
  const left = () => pause(Math.random() * LIFE);
  try {
    await WAYS[number % WAYS.length](channelOf(number), optionsOf(number), left);
    counts.opened++;
  } catch (error) {
    if (!isExplained(error)) throw error;
    counts.unopened++;
  }
}

function open() {
  const visiting = attend(++visit).catch((error) => {
    report({ t: "broken", error: `visit ${visit}: ${error?.stack ?? error}` });
  });
  visits.add(visiting);
  void visiting.then(() => visits.delete(visiting));
}

async function openAll() {
  const since = performance.now();
  for (let opened = 0; isOpening; await pause(5)) {
    for (; opened < (performance.now() - since) * RATE / 1_000; opened++) open();
  }
}

async function publishAll() {
  for (let number = 0; isOpening; number++, await pause(PERIOD)) {
    broadcast.publish(`channel-${number % (names ?? 50)}`, `${number}`).catch((error) => {
      if (!isExplained(error)) report({ t: "broken", error: `publish: ${saying(error)}` });
    });
  }
}

obey({
  async ready() {
    await broadcast.connect();
    report({ t: "ready" });
  },
  start() {
    isOpening = true;
    void openAll();
    void publishAll();
  },
  /** Opens no more; resolves once all are closed, and the connection is back. */
  async calm() {
    isOpening = false;
    while (visits.size > 0 || broadcast.state !== "connected") await pause(50);
    // A publish shows that all of it is back.
    await broadcast.publish("channel-0", "calm");
    report({ t: "calm", ...counts });
  },
  async measure() {
    const bytes = await heap();
    const least = tally();
    for (let looks = 0; looks < LOOKS; looks++) {
      await pause(100);
      const { timers, listeners } = tally();
      least.timers = Math.min(least.timers, timers);
      least.listeners = Math.min(least.listeners, listeners);
    }
    report({ t: "measured", heap: bytes, ...least });
  },
  async leave() {
    await disconnect(broadcast, "soak");
    farewell({ t: "left" });
  },
});
