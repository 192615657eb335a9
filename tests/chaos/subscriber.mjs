/**
 * A subscriber of a run: of each channel it has a fast reader, a slow one, and one that leaves and
 * resumes. Every event and every gap is reported, in the order in which the reader learns of it.
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

const { url, channels, log, slowness } = config;

const KINDS = ["fast", "slow", "leaver"];
/** With how many events a reader comes back that asks for the past. */
const HISTORY = 50;
/** How long a subscriber waits before it asks again, in milliseconds. */
const AGAIN = 100;

const broadcast = watch(new Broadcast(url), "subscriber");

/** One who reads a channel. */
class Reader {
  constructor(channel, kind) {
    this.channel = channel;
    this.kind = kind;
    this.name = `${channel} ${kind}`;
    this.subscription = undefined;
    /** What it has read last. */
    this.last = undefined;
    this.isAway = false;
    this.hurries = false;
    this.dozing = undefined;
    this.reading = Promise.resolve();
    /** One thing behind the other: it cannot leave while it comes back. */
    this.turn = Promise.resolve();
  }

  /** Does something once what it was told before is done. */
  next(action) {
    return this.turn = this.turn.then(() => action(this));
  }

  /** Subscribes; resolves once that is confirmed, and reads from then on. */
  async open(after, isOwn, history = 0) {
    const gap = (gap) => report({ t: "gap", r: this.name, gap });
    // A slow reader learns of gaps by its events alone.
    const onGap = this.kind === "slow" ? {} : { onGap: gap };
    const options = {
      ...onGap,
      ...after && { after: after.id },
      ...history > 0 && { history },
    };
    for (;;) {
      try {
        this.subscription = await broadcast.subscribe(this.channel, options);
        break;
      } catch (error) {
        report({ t: "unopened", r: this.name, error: saying(error) });
        if (error?.name !== "ConnectionError") {
          return report({ t: "end", r: this.name, error: `subscribe: ${saying(error)}` });
        }
        await pause(AGAIN);
      }
    }
    const from = after && { after: { m: after.m, id: after.id, isOwn } };
    report({ t: "open", r: this.name, ...from, ...history > 0 && { history } });
    this.reading = this.read(this.subscription);
  }

  async read(subscription) {
    try {
      for await (const event of subscription) {
        this.take(event);
        if (this.kind === "slow" && !this.hurries) await pause(Math.random() * 2 * slowness);
        await this.dozing;
      }
      report({ t: this.isAway ? "close" : "end", r: this.name });
    } catch (error) {
      report({ t: "end", r: this.name, error: saying(error) });
    }
  }

  take({ id, message, channel, gap }) {
    const [who, number, size, padding] = message.split(" ");
    const m = `${who} ${number}`;
    if (padding?.length !== Number(size) || channel !== this.channel || /[^x]/.test(padding)) {
      report({ t: "unreadable", channel, error: `${m} is not what was published` });
    }
    this.last = { id, m };
    report({ t: "event", r: this.name, m, id, ...gap && { gap } });
  }

  /** Leaves, and is away until it is told to come back. */
  async leave() {
    // Who has seen nothing yet has no id to come back by.
    if (!this.last) return;
    this.isAway = true;
    this.subscription?.close();
    await this.reading;
  }

  async resume(after, history) {
    if (!this.isAway) return;
    this.isAway = false;
    // Without a log there is no other past than what it has seen.
    if (history && log) return await this.open(undefined, false, HISTORY);
    await this.open(after ?? this.last, after === undefined);
  }
}

const readers = new Map(
  channels.flatMap((channel) => KINDS.map((kind) => new Reader(channel, kind)))
    .map((reader) => [reader.name, reader]),
);
const all = [...readers.values()];
let before;

function leaverOf(channel) {
  return readers.get(`${channel} leaver`);
}

obey({
  async ready() {
    await broadcast.connect();
    await Promise.all(all.map((reader) => reader.open()));
    before = await heap();
    report({ t: "ready" });
  },
  part: ({ channel }) => leaverOf(channel).next((leaver) => leaver.leave()),
  resume: ({ channel, after, history }) =>
    leaverOf(channel).next((leaver) => leaver.resume(after, history)),
  async look({ channel, limit }) {
    if (!log) return;
    try {
      const events = await broadcast.history(channel, { limit });
      const messages = events.map(({ message }) => message.split(" ", 2).join(" "));
      report({ t: "page", c: channel, limit, messages });
    } catch (error) {
      report({ t: "unseen", c: channel, error: saying(error) });
    }
  },
  async doze({ channel, lasts }) {
    const reader = readers.get(`${channel} slow`);
    await (reader.dozing = pause(lasts));
    reader.dozing = undefined;
  },
  hurry() {
    for (const reader of all) reader.hurries = true;
  },
  async leave() {
    // The last of what has arrived is still read: by then all is.
    for (const reader of all) reader.isAway = true;
    await disconnect(broadcast, "subscriber");
    await Promise.all(all.map(({ reading }) => reading));
    farewell({ t: "left", heap: { before, after: await heap() } });
  },
});
