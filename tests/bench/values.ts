/**
 * Values through a codec, and by hand around a broadcast of texts.
 *
 * @module
 */

import { Broadcast, json, type Subscription } from "../../mod.ts";
import { atLeast, digits, type Report, shown } from "./report.ts";
import { ratio, rounds, spread } from "./rounds.ts";

const ROUNDS = 9;
const EVENTS = 20_000;
const BURST = 500;

const MESSAGE = { user: "ada", text: "hello everybody, how are you today?", at: 1_795_713_204_123 };

/** Measures `json()` beside `JSON.stringify` and `JSON.parse` over the same path. */
export async function values(runtime: string): Promise<Report> {
  const [codec, hand] = await rounds(ROUNDS, [throughCodec, byHand], (run) => run());
  const share = ratio(codec!, hand!);
  return {
    title: `Values through memory://, ${runtime}: events per second`,
    rows: [
      ["json()", "by hand", "ratio"],
      [digits(spread(codec!).median), digits(spread(hand!).median), shown(share)],
    ],
    verdicts: [atLeast(`${runtime}: json() at least 0.9 × by hand`, 0.9, share)],
  };
}

async function throughCodec(): Promise<number> {
  const broadcast = new Broadcast("memory://", { codec: json<typeof MESSAGE>() });
  const read = readAll(await broadcast.subscribe("bench"), ({ at }) => at);
  const rate = await time(() => broadcast.publish("bench", MESSAGE), read);
  await broadcast.disconnect();
  return rate;
}

async function byHand(): Promise<number> {
  const broadcast = new Broadcast("memory://");
  const read = readAll(
    await broadcast.subscribe("bench"),
    (text) => (JSON.parse(text) as typeof MESSAGE).at,
  );
  const rate = await time(() => broadcast.publish("bench", JSON.stringify(MESSAGE)), read);
  await broadcast.disconnect();
  return rate;
}

/** Reads all, and uses what it has read. */
async function readAll<Message>(
  subscription: Subscription<Message, "bench">,
  use: (message: Message) => number,
): Promise<number> {
  let [count, sum] = [0, 0];
  for await (const { message } of subscription) {
    sum += use(message);
    if (++count === EVENTS) break;
  }
  return sum;
}

async function time(publish: () => Promise<unknown>, read: Promise<unknown>): Promise<number> {
  const start = performance.now();
  for (let sent = 0; sent < EVENTS; sent += BURST) {
    await Promise.all(Array.from({ length: BURST }, publish));
  }
  await read;
  return EVENTS / (performance.now() - start) * 1000;
}
