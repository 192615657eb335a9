/**
 * The past: how long joining with a backlog takes, what a thousand who resume
 * at once ask of the broker, and what publishing into a log costs.
 *
 * @module
 */

import process from "node:process";
import { Address } from "../../core/backend/address.ts";
import type { Backend } from "../../core/backend/contract.ts";
import { Broadcast } from "../../mod.ts";
import { atLeast, atMost, digits, type Report, shown, type Verdict } from "./report.ts";
import { collectGarbage, ratio, rounds, spread } from "./rounds.ts";

/** The bare client of a log. */
export interface BareLog {
  /** Its name in the table. */
  readonly name: string;
  /** Publishes messages in one go, as fast as the client can; settles once all are stored. */
  publish(messages: readonly string[]): Promise<unknown>;
  /** Closes its connections. */
  close(): Promise<unknown>;
}

/** A log to measure. */
export interface LogUnderTest {
  /** Its name in the table. */
  readonly name: string;
  /** Keeps as many events as are published. */
  readonly url: string;
  /** Its backend's module. */
  readonly module: { open(address: Address): Backend | Promise<Backend> };
  /** The largest backlog to join with. */
  readonly largest: number;
  /** The bare client, if there is one. */
  readonly bare?: () => Promise<BareLog>;
  /** Removes what the broker stores of some channels. */
  readonly clean?: (channels: readonly string[]) => Promise<void>;
}

const ROUNDS = 5;
const BURST = 5_000;
const BACKLOGS = [1_000, 100_000, 1_000_000];
const RESUMERS = 1_000;
const PADDING = " ".repeat(100);
/** How often memory is looked at while a backlog is read, and how much it may grow, in MB. */
const SAMPLES = 10;
const FLAT = 32;

/** Measures one log. */
export async function* logs(log: LogUnderTest): AsyncGenerator<Report> {
  try {
    if (log.bare) yield await publishing(log, await log.bare());
    yield await joining(log);
    yield await resuming(log);
  } finally {
    await log.clean?.(used.splice(0));
  }
}

const used: string[] = [];

function newChannel(): string {
  const channel = `bench-${crypto.randomUUID()}`;
  used.push(channel);
  return channel;
}

/** Events per second into the log, beside the bare client. */
async function publishing({ name, url }: LogUnderTest, bare: BareLog): Promise<Report> {
  const broadcast = new Broadcast(url);
  const channel = newChannel();
  const sides = {
    broadcast: (messages: readonly string[]) =>
      Promise.all(messages.map((message) => broadcast.publish(channel, message))),
    bare: (messages: readonly string[]) => bare.publish(messages),
  };
  const messages = Array.from({ length: BURST }, (_, number) => `${number}${PADDING}`);
  const [ours, theirs] = await rounds(ROUNDS, Object.values(sides), async (publish) => {
    const start = performance.now();
    await publish(messages);
    return BURST / (performance.now() - start) * 1000;
  });
  await Promise.all([broadcast.disconnect(), bare.close()]);
  const speed = ratio(ours!, theirs!);
  return {
    title: `${name}: publishing ${BURST} at once, events per second`,
    rows: [["broadcast", bare.name, "ratio"], [
      shown(spread(ours!)),
      shown(spread(theirs!)),
      shown(speed),
    ]],
    verdicts: [atLeast(`${name}, publishing: >= 0.85 × bare`, 0.85, speed)],
  };
}

/**
 * From `subscribe()` until the last event of a backlog; and in one more round, which is not timed,
 * what of the memory is in use: more in the second half than in the first is what does not end.
 */
async function joining({ name, url, largest }: LogUnderTest): Promise<Report> {
  const rows = [["backlog", "ms", "events/s", "heap, MB", "first half, MB", "second half, MB"]];
  const verdicts: Verdict[] = [];
  for (const backlog of BACKLOGS.filter((count) => count <= largest)) {
    await using broadcast = new Broadcast(url);
    const channel = newChannel();
    const first = await fill(broadcast, channel, backlog);
    const times: number[] = [];
    for (let round = 0; round < (backlog > 100_000 ? 1 : 3); round++) {
      const begun = performance.now();
      await join(broadcast, channel, first, backlog);
      times.push(performance.now() - begun);
    }
    const start = heap();
    const samples: number[] = [];
    await join(broadcast, channel, first, backlog, () => samples.push(heap() - start));
    const [early, late] = [samples.slice(0, SAMPLES / 2), samples.slice(SAMPLES / 2)].map(spread);
    const time = spread(times);
    rows.push([
      backlog.toLocaleString("en"),
      shown(time),
      digits(backlog / time.median * 1000),
      digits(start),
      `+${shown(early!)}`,
      `+${shown(late!)}`,
    ]);
    const target = `${name}, backlog of ${backlog.toLocaleString("en")}: memory flat (±${FLAT} MB)`;
    verdicts.push(atMost(target, FLAT, spread([late!.median - early!.median]), " MB"));
  }
  return { title: `${name}: joining with a backlog`, rows, verdicts };
}

/** Reads a backlog behind its first event, and looks up so many times on the way. */
async function join(
  broadcast: Broadcast,
  channel: string,
  after: string,
  backlog: number,
  look: () => void = () => {},
): Promise<void> {
  let read = 1;
  for await (const _ of await broadcast.subscribe(channel, { after })) {
    if (++read % (backlog / SAMPLES) === 0) look();
    if (read === backlog) break;
  }
}

/** What one, and a thousand, who resume at once ask of the broker. */
async function resuming({ name, url, module }: LogUnderTest): Promise<Report> {
  const address = new Address(url);
  const backend = await module.open(address);
  let reads = 0;
  const counting: Backend = new Proxy(backend, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== "function") return value;
      return (...parameters: unknown[]) => {
        if (key === "read") reads++;
        return value.apply(target, parameters);
      };
    },
  });
  await using broadcast = new Broadcast(counting);
  const channel = newChannel();
  const backlog = Math.min(10_000, BACKLOGS[1]!);
  const first = await fill(broadcast, channel, backlog);
  const rows = [["who resume at once", "pages read", "ms"]];
  const counts: number[] = [];
  for (const resumers of [1, RESUMERS]) {
    reads = 0;
    const start = performance.now();
    const subscriptions = await Promise.all(
      Array.from({ length: resumers }, () => broadcast.subscribe(channel, { after: first })),
    );
    await Promise.all(subscriptions.map(async (subscription) => {
      let read = 1;
      for await (const _ of subscription) if (++read === backlog) break;
    }));
    rows.push([`${resumers}`, `${reads}`, digits(performance.now() - start)]);
    counts.push(reads);
    // What is kept for others is let go of after a second.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  }
  const growth = spread([counts[1]! / counts[0]!]);
  const target = `${name}, ${RESUMERS} resume at once: they read the log at most twice`;
  return {
    title: `${name}: resuming behind a backlog of ${backlog.toLocaleString("en")}`,
    rows,
    verdicts: [atMost(target, 2, growth)],
  };
}

/** Publishes a backlog; the id of its first event. */
async function fill(
  broadcast: Broadcast,
  channel: string,
  count: number,
): Promise<string> {
  await broadcast.publish(channel, `0${PADDING}`);
  const [first] = await broadcast.history(channel, { limit: 1 });
  for (let number = 1; number < count;) {
    const batch = Array.from({ length: Math.min(5_000, count - number) }, () => number++);
    await Promise.all(batch.map((one) => broadcast.publish(channel, `${one}${PADDING}`)));
  }
  return first!.id;
}

function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}
