/**
 * A broadcast over a broker against the bare client doing the same.
 *
 * @module
 */

import { Broadcast } from "../../mod.ts";
import { atLeast, atMost, type Report, shown, type Verdict } from "./report.ts";
import { medians, quantile, ratio, rounds, spread, turn } from "./rounds.ts";

/** One way to publish and to receive. */
export interface Side {
  /** Its name in the table. */
  readonly name: string;
  /** Settles once the broker has accepted. */
  publish(message: string): Promise<unknown>;
  /** Called with each message that arrives. */
  onMessage: (message: string) => void;
  /** Closes its connections. */
  close(): Promise<unknown>;
}

/** How much is measured of a broker. */
export interface Amounts {
  /**
   * Messages per slice, by the window of unanswered publishes. A slice of a few hundred that
   * are awaited one by one would measure how fast each side is compiled.
   */
  readonly windows: ReadonlyMap<number, number>;
  /** Messages per second, where latency is measured. */
  readonly rate: number;
}

const ROUNDS = 7;
/** Each round is the median of some short slices, in which the sides take turns. */
const SLICES = 7;
const PACED = 500;
/** How long messages may take to arrive, in milliseconds. */
const PATIENCE = 20_000;
const PADDING = " ".repeat(100);
const TOLERANCE = 0.15;

/** A broadcast, as users have it. */
export async function broadcastSide(url: string): Promise<Side> {
  const broadcast = new Broadcast(url);
  const channel = `bench_${crypto.randomUUID()}`;
  const subscription = await broadcast.subscribe(channel);
  const side: Side = {
    name: "broadcast",
    publish: (message) => broadcast.publish(channel, message),
    onMessage: () => {},
    close: () => broadcast.disconnect(),
  };
  void (async () => {
    for await (const { message } of subscription) side.onMessage(message);
  })();
  return side;
}

/** Measures throughput for each window, and latency at a paced rate. */
export async function compare(
  title: string,
  sides: readonly [ours: Side, bare: Side],
  { windows, rate }: Amounts,
): Promise<Report> {
  const [ours, bare] = sides.map(({ name }) => name);
  const rows = [["", ours!, bare!, "ratio"]];
  const verdicts: Verdict[] = [];
  for (const [window, messages] of windows) {
    const slices = await rounds(
      ROUNDS * SLICES,
      sides,
      (side) => throughput(side, messages, window),
    );
    const [mine, theirs] = slices.map((all) => medians(all, SLICES));
    const name = window < Infinity ? `window of ${window}` : `burst of ${messages}`;
    const speed = ratio(mine!, theirs!);
    rows.push([`${name}, msg/s`, shown(spread(mine!)), shown(spread(theirs!)), shown(speed)]);
    verdicts.push(atLeast(`${title}, ${name}: >= ${1 - TOLERANCE} × bare`, 1 - TOLERANCE, speed));
  }
  await latencies(sides, PACED, rate);
  const delays: number[][][] = [];
  for (let round = 0; round < ROUNDS; round++) delays.push(await latencies(sides, PACED, rate));
  for (const part of [0.5, 0.99]) {
    const [mine, theirs] = sides.map((_, index) =>
      delays.map((round) => quantile(round[index]!, part))
    );
    const name = `p${part * 100} at ${rate}/s`;
    const delay = ratio(mine!, theirs!);
    rows.push([`${name}, ms`, shown(spread(mine!)), shown(spread(theirs!)), shown(delay)]);
    if (part === 0.5) continue;
    const target = `${title}, ${name}: <= ${1 + TOLERANCE} × bare`;
    verdicts.push(atMost(target, 1 + TOLERANCE, delay));
  }
  for (const side of sides) await side.close();
  return { title: `${title}: publish to receive`, rows, verdicts };
}

/** Messages per second, from the first publish to the last message received. */
async function throughput(side: Side, messages: number, window: number): Promise<number> {
  const received = receive(side, messages);
  const start = performance.now();
  let sent = 0;
  async function publish(): Promise<void> {
    while (sent < messages) await side.publish(`${sent++}${PADDING}`);
  }
  const publishing = window < messages
    ? Array.from({ length: window }, publish)
    : Array.from({ length: messages }, (_, number) => side.publish(`${number}${PADDING}`));
  await Promise.all(publishing);
  await received;
  return messages / (performance.now() - start) * 1000;
}

/**
 * Milliseconds from publish to receipt, sorted, of each side. They publish by turns, so that
 * whatever holds up the machine meets both, and never in the same turn of the event loop.
 */
async function latencies(sides: readonly Side[], messages: number, rate: number) {
  const delays = sides.map((): number[] => []);
  const sentAt = sides.map((): number[] => []);
  const settled: Promise<unknown>[] = sides.map((side, index) =>
    receive(side, messages, (message) => {
      delays[index]!.push(performance.now() - sentAt[index]![parseInt(message)]!);
    })
  );
  const start = performance.now();
  for (let slot = 0; slot < messages * sides.length; slot++) {
    const due = start + slot * 1000 / rate / sides.length;
    while (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, 0));
    await turn();
    const index = slot % sides.length;
    const number = sentAt[index]!.push(performance.now()) - 1;
    settled.push(sides[index]!.publish(`${number}${PADDING}`));
  }
  await Promise.all(settled);
  return delays.map((all) => all.sort((a, b) => a - b));
}

/** Resolves once so many messages have arrived; rejects if they do not. */
function receive(side: Side, messages: number, see?: (message: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`${side.name}: ${messages} messages have not arrived`));
    }, PATIENCE);
    side.onMessage = (message) => {
      see?.(message);
      if (--messages > 0) return;
      clearTimeout(timer);
      resolve();
    };
  });
}
