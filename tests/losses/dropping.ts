/**
 * Brokers that drop messages and tell nobody: whose are missed, by the numbers that each
 * message of ours carries.
 */

import { assert, assertEquals } from "@std/assert";
import { Broadcast } from "../../mod.ts";
import { numbered, take, uniqueChannel, within } from "../conformance/harness.ts";
import { until } from "../services/service.ts";

/** A broker that is about to drop. */
export interface Dropping {
  /** Where the subscriber finds it. */
  readonly slow: string;
  /** Where the publishers find it. */
  readonly quick: string;
  /** Publishes as another program does. */
  readonly foreign: (channel: string, message: string) => Promise<unknown>;
  /** From now on messages are dropped. */
  readonly begin: () => void;
  /** From now on no more are. */
  readonly end: () => unknown;
  /** How many messages of each publisher it takes, and how long they are. */
  readonly count: number;
  readonly size?: number;
  /** Whether the numbers of our messages arrive, as they do unless it is said. */
  readonly isCounted?: boolean;
}

/** Three who publish: one that was heard before, one that was not, and another program. */
const PUBLISHERS = ["heard", "unheard", "foreign"] as const;

/** What is dropped is counted if its publisher was heard before, and else lost without a word. */
export async function drops(broker: Dropping): Promise<void> {
  const { count, size = 0, isCounted = true, foreign } = broker;
  await using subscriber = new Broadcast(`${broker.slow}?probe=0`);
  await using heard = new Broadcast(broker.quick);
  await using unheard = new Broadcast(broker.quick);
  const channel = uniqueChannel();
  const publish = {
    heard: (message: string) => heard.publish(channel, message),
    unheard: (message: string) => unheard.publish(channel, message),
    foreign: (message: string) => foreign(channel, message),
  };
  const published = { heard: 0, unheard: 0, foreign: 0 };
  const send = (name: typeof PUBLISHERS[number]) =>
    publish[name](`${name} ${published[name]++} `.padEnd(size));
  const subscription = await subscriber.subscribe(channel);
  const received = { heard: [] as number[], unheard: [] as number[], foreign: [] as number[] };
  let missed = 0;
  const hear = async () => {
    const [event] = await take(subscription, 1);
    const [name, number] = String(event!.message).split(" ") as [typeof PUBLISHERS[number], string];
    received[name].push(Number(number));
    if (!event!.gap) return;
    assertEquals([event!.gap.cause, name], ["unknown", "heard"]);
    missed += event!.gap.missed!;
  };
  const both = (async () => {
    while (received.heard.length === 0 || received.foreign.length === 0) await hear();
  })();
  let areHeard = false;
  void both.then(() => areHeard = true);
  // Where nodes tell each other who listens, the first may be too early.
  await until(async () => (await Promise.all([send("heard"), send("foreign")]), areHeard), "Deaf");
  await both;
  broker.begin();
  await Promise.all(numbered(count).flatMap(() => [send("heard"), send("foreign")]));
  await Promise.all(numbered(count).map(() => send("unheard")));
  const dropped = { ...published };
  await broker.end();
  const isDone = () => PUBLISHERS.every((name) => received[name].at(-1)! >= dropped[name]);
  const reading = (async () => {
    while (!isDone()) await hear();
  })();
  await until(async () => {
    if (!isDone()) await Promise.all(PUBLISHERS.map(send));
    return isDone();
  }, "Nothing arrives any more");
  await within(reading);
  const lost = (name: typeof PUBLISHERS[number]) =>
    received[name].at(-1)! + 1 - (name === "unheard" ? 0 : received[name][0]!) -
    received[name].length;
  assertEquals(missed, isCounted ? lost("heard") : 0);
  for (const name of PUBLISHERS) assert(lost(name) > 0, `nothing of ${name} was dropped`);
  assert(received.unheard[0]! > 0, "its first ones have come");
}
