/**
 * A process with many channels, of each of which it hears one message again after its broker was
 * away: with two subscriptions to each channel of a broadcast, or as the bare client does it.
 */

import process from "node:process";
import { Broadcast } from "@broadcaster/broadcaster";
import { open } from "./bare.mjs";
import { watchEventLoop } from "./event_loop.mjs";
import { disconnect, farewell, obey, pause, report, saying, watch } from "../chaos/process.mjs";
import { config } from "../chaos/process.mjs";

const { url, isBare, count, log } = config;

const channels = Array.from({ length: count }, (_, index) => `storm-${index}`);

/** How many subscriptions each channel has. */
const EACH = isBare ? 1 : 2;
/** When a channel is published to again whose message was not heard, in milliseconds. */
const AGAIN = 1_000;

let round = 0;
/** How often each channel was heard in this round. */
let heard = new Map();
let missing = 0;
let endWatch;

function begin() {
  round++;
  heard = new Map(channels.map((channel) => [channel, new Set()]));
  missing = channels.length * EACH;
}

/** A subscription has heard a message: it counts if it is of this round. */
function hear(channel, message, subscription = 0) {
  const who = heard.get(channel);
  if (Number(message) !== round || who.has(subscription)) return;
  who.add(subscription);
  if (--missing === 0) report({ t: "live", at: Date.now(), ...endWatch?.() });
}

/** Publishes to the channels that are not heard yet, until all are. */
async function insist(publish) {
  for (const own = round; own === round && missing > 0;) {
    for (const channel of channels) if (heard.get(channel).size < EACH) publish(channel);
    await pause(AGAIN);
  }
}

/** The bare client: it connects, subscribes to all channels, then publishes to each. */
function bare() {
  let client;
  async function connect() {
    for (;;) {
      let lose;
      const lost = new Promise((resolve) => lose = resolve);
      try {
        client = await open(url, channels, hear, lose);
        await client.subscribe(channels);
        void insist((channel) => client.publish(channel, `${round}`)).catch(() => {});
        await lost;
      } catch (error) {
        report({ t: "unconnected", error: saying(error) });
        await pause(50);
      }
      await client?.close().catch(() => {});
    }
  }
  return {
    ready: () => void connect(),
    leave: () => farewellAtOnce(),
  };
}

/** It ends with all that its client still does. */
function farewellAtOnce() {
  farewell({ t: "left" });
  setTimeout(() => process.exit(0), 100);
}

/** Ours: whoever learns of a gap is live again. */
function ours() {
  const broadcast = watch(new Broadcast(url), "storm");
  const publish = (channel) => {
    broadcast.publish(channel, `${round}`).catch((error) =>
      report({ t: "unpublished", error: saying(error) })
    );
  };
  broadcast.addEventListener("statechange", ({ state }) => {
    if (state !== "connected" || round < 2) return;
    if (log) return void insist(publish);
    const own = round;
    // In the next round, all would be heard before the broker dies, and nothing after it.
    setTimeout(() => own === round && void insist(publish), AGAIN);
  });
  async function read(channel, index) {
    const isFirst = index === 0;
    const onGap = () => !log && isFirst && publish(channel);
    const subscription = await broadcast.subscribe(channel, { onGap });
    void (async () => {
      try {
        for await (const { message } of subscription) hear(channel, message, index);
      } catch (error) {
        report({ t: "broken", error: `${channel}: ${saying(error)}` });
      }
    })();
  }
  return {
    async ready() {
      await Promise.all(channels.flatMap((channel) => [read(channel, 0), read(channel, 1)]));
      await insist(publish);
    },
    async leave() {
      await disconnect(broadcast, "storm");
      farewell({ t: "left" });
    },
  };
}

begin();
obey({
  ...isBare ? bare() : ours(),
  brace() {
    begin();
    endWatch = watchEventLoop();
    report({ t: "braced" });
  },
});
