/** A leader that dies. */

import { assert, assertEquals } from "@std/assert";
import {
  Broadcast,
  type BroadcastEvent,
  OutcomeUnknownError,
  type Subscription,
} from "../../../mod.ts";
import { numbered, uniqueChannel, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start } from "../../services/kafka.ts";
import { freePort } from "../../services/service.ts";
import { Outsider } from "./outsider.ts";

const COUNT = 2_000;
/** The number that is published at once. */
const STEP = 20;

/** Cases on several nodes. */
function failover(): void {
  Deno.test("kafka: a leader that dies in the middle of 2,000 events takes none along", async () => {
    const controller = freePort();
    const starting = [1, 2].map((id) => start({ node: { id, controller } }));
    await using survivor = await starting[0]!;
    await using leader = await starting[1]!;
    await using outsider = new Outsider(survivor.url);
    const channel = uniqueChannel();
    await outsider.create({
      topic: channel,
      replicaAssignment: [{ partition: 0, replicas: [2, 1] }],
    });
    // The one that dies is asked first.
    const url = `kafka://127.0.0.1:${leader.port},127.0.0.1:${survivor.port}`;
    await using listener = new Broadcast(url);
    await using publisher = new Broadcast(`${url}?timeout=30s`);
    const exact = collect(await listener.subscribe(channel));
    const matching = collect(await listener.subscribe({ pattern: `${channel}*` }));
    const accepted: string[] = [];
    const publish = async (message: string) => {
      try {
        await publisher.publish(channel, message);
        accepted.push(message);
      } catch (error) {
        assert(error instanceof OutcomeUnknownError, `${error}`);
      }
    };
    const all = numbered(COUNT);
    let dying: Promise<void> | undefined;
    for (let index = 0; index < COUNT; index += STEP) {
      const publishing = all.slice(index, index + STEP).map(publish);
      if (index === COUNT / 2) dying = leader.stop("SIGKILL");
      await Promise.all(publishing);
    }
    await dying;
    while (accepted.at(-1) !== "end") await publish("end");
    assert(accepted.length > COUNT - 10 * STEP, `only ${accepted.length} were accepted`);
    const wanted = new Set(accepted);
    // The log loses nothing.
    assertEquals(holes(await within(exact), all, wanted), []);
    assertEquals((await exact).filter(({ gap }) => gap), []);
    // A pattern has none, and tells where it was away.
    for (const { gap } of holes(await within(matching), all, wanted)) assert(gap);
  });
}

/** All events but the last one, which ends it. */
async function collect(subscription: Subscription<string>): Promise<BroadcastEvent<string>[]> {
  const events: BroadcastEvent<string>[] = [];
  for await (const event of subscription) {
    events.push(event);
    if (event.message === "end") break;
  }
  return events;
}

/** The events before which others are missing that were accepted; each comes once, in order. */
function holes(
  events: readonly BroadcastEvent<string>[],
  all: readonly string[],
  accepted: ReadonlySet<string>,
): BroadcastEvent<string>[] {
  let last = -1;
  return events.filter(({ message }) => {
    const index = message === "end" ? all.length : all.indexOf(message);
    assert(index > last, `${message} came after ${all[last]}`);
    const missing = all.slice(last + 1, index).filter((other) => accepted.has(other));
    last = index;
    return missing.length > 0;
  });
}

withBroker("kafka", () => failover());
