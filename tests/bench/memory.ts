/**
 * What is kept for whom: readers that read, and readers that stall.
 *
 * @module
 */

import process from "node:process";
import { Broadcast } from "../../mod.ts";
import { chain } from "./contenders.ts";
import { atMost, digits, type Report, shown, type Verdict } from "./report.ts";
import { collectGarbage, spread, turn } from "./rounds.ts";

const BURST = 5_000;
const READERS = 10;
const FEW = 10_000;
const MANY = 100_000;
/** What a heap may differ by without anything being kept. */
const NOISE = 0.5;

/** Counts what readers that read miss of 5,000 messages in one turn. */
export async function bursts(runtime: string): Promise<Report> {
  const rows = [["read by", "readers", "events", "read", "missed"]];
  const verdicts: Verdict[] = [];
  for (
    const [name, read] of Object.entries({ "for await": iterate, "reader.read()": readOneByOne })
  ) {
    const broadcast = new Broadcast("memory://");
    const streams = await Promise.all(
      Array.from({ length: READERS }, () => broadcast.subscribe("bench")),
    );
    const counts = Promise.all(streams.map(read));
    await turn();
    for (let sent = 0; sent < BURST; sent++) void broadcast.publish("bench", `message ${sent}`);
    // It ends each subscription behind what has arrived.
    await broadcast.publish("bench", "last");
    for (let waited = 0; waited < 50; waited++) await turn();
    await broadcast.disconnect();
    const least = Math.min(...await counts) - 1;
    rows.push([name, `${READERS}`, `${BURST}`, `${least}`, `${BURST - least}`]);
    const missed = spread([BURST - least]);
    const target = `${runtime}: ${BURST} messages in one turn, ${name}: none missed`;
    verdicts.push({ ...atMost(target, 0, missed), measured: `${BURST - least} missed` });
  }
  return { title: `5,000 messages in one turn, ${runtime}`, rows, verdicts };
}

async function iterate(stream: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of stream) count++;
  return count;
}

async function readOneByOne(stream: ReadableStream<unknown>): Promise<number> {
  const reader = stream.getReader();
  for (let count = 0;; count++) if ((await reader.read()).done) return count;
}

/** Weighs what one stalled subscriber among ten holds. */
export async function stalled(runtime: string): Promise<Report> {
  const rows = [["heap over its start, MB", "after 10,000 events", "after 100,000", "growth"]];
  const verdicts: Verdict[] = [];
  for (
    const [name, weigh] of Object.entries({
      "memory://": weighBroadcast,
      "native tee()": weighNative,
    })
  ) {
    const weights: Weight[] = [];
    for (let round = 0; round < 3; round++) weights.push(await weigh());
    const growth = spread(weights.map(({ few, many }) => many - few));
    rows.push([
      name,
      shown(spread(weights.map(({ few }) => few))),
      shown(spread(weights.map(({ many }) => many))),
      shown(growth),
    ]);
    if (weigh !== weighBroadcast) continue;
    const target =
      `${runtime}: one stalled of ten holds no more after 100,000 events than after 10,000 (±${NOISE} MB)`;
    verdicts.push(atMost(target, NOISE, growth, " MB"));
  }
  return {
    title: `One stalled subscriber among ten, ${runtime}`,
    rows,
    note: `Messages of ${digits(message(0).length)} characters, heapUsed after a full collection.`,
    verdicts,
  };
}

/** What is held, in MB. */
interface Weight {
  readonly few: number;
  readonly many: number;
}

async function weighBroadcast(): Promise<Weight> {
  const broadcast = new Broadcast("memory://");
  const start = heap();
  const streams = await Promise.all(
    Array.from({ length: READERS }, () => broadcast.subscribe("bench")),
  );
  for (const stream of streams.slice(1)) void iterate(stream);
  const stalled = streams[0]!.getReader();
  await turn();
  const weight = await publish((message) => void broadcast.publish("bench", message), start);
  await broadcast.disconnect();
  await stalled.cancel();
  return weight;
}

async function weighNative(): Promise<Weight> {
  const start = heap();
  const { push, branches } = chain(READERS);
  for (const branch of branches.slice(1)) void readOneByOne(branch);
  const stalled = branches[0]!.getReader();
  await turn();
  const weight = await publish(push, start);
  await Promise.race([stalled.read(), turn()]);
  return weight;
}

async function publish(push: (message: string) => void, start: number): Promise<Weight> {
  let sent = 0;
  async function upTo(count: number): Promise<number> {
    while (sent < count) {
      push(message(sent));
      if (++sent % 100 === 0) await turn();
    }
    await turn();
    return heap() - start;
  }
  return { few: await upTo(FEW), many: await upTo(MANY) };
}

function message(number: number): string {
  return `${number}`.padStart(100, "message ");
}

function heap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed / 1e6;
}
