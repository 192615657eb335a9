/** What passes: topics that are recreated unseen, quotas, addresses that cannot be reached, short sessions. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  Broadcast,
  type BroadcastEvent,
  ConnectionError,
  type Subscription,
} from "../../../mod.ts";
import { messages, numbered, uniqueChannel, within } from "../../conformance/harness.ts";
import { withBroker } from "../../services/broker.ts";
import { start, tool } from "../../services/kafka.ts";
import { freePort } from "../../services/service.ts";
import { Outsider } from "./outsider.ts";
import { KafkaRig } from "./rig.ts";

/** A busy machine must not cost a broker its place in the cluster. */
const PATIENT = { "broker.session.timeout.ms": "30000" };

/** Cases on brokers of their own. */
function passing(): void {
  Deno.test("kafka: what passes", async (t) => {
    await using rig = await KafkaRig.start({ properties: PATIENT });
    await using outsider = new Outsider(rig.direct);

    await t.step("a topic that is recreated while the link is stalled is a gap", async () => {
      const channel = await outsider.topic();
      await using broadcast = new Broadcast(`${rig.url}?probe=0`);
      const subscription = await broadcast.subscribe(channel);
      await outsider.publish(channel, numbered(10).map((value) => ({ value })));
      await within(events(subscription, 10));
      rig.proxy.stall();
      await outsider.recreate(channel, 1);
      await outsider.publish(channel, numbered(30).map((value) => ({ value: `new ${value}` })));
      rig.proxy.resume();
      const read = await within(events(subscription, 30));
      assertEquals(read.map(({ message }) => message), numbered(30).map((text) => `new ${text}`));
      assertEquals(read[0]!.gap?.cause, "reset");
    });

    await t.step("a stalled link alone is no gap", async () => {
      const channel = await outsider.topic();
      await using broadcast = new Broadcast(`${rig.url}?probe=0`);
      const subscription = await broadcast.subscribe(channel);
      await outsider.publish(channel, [{ value: "1" }, { value: "2" }]);
      await within(events(subscription, 2));
      rig.proxy.stall();
      // The broker answers within this time, and its answer waits.
      await outsider.publish(channel, [{ value: "3" }]);
      await outsider.counts(channel);
      rig.proxy.resume();
      const [event] = await within(events(subscription, 1));
      assertEquals([event!.message, event!.gap], ["3", undefined]);
    });

    await t.step("500 new channels at once are created together", async () => {
      await using broadcast = new Broadcast(`${rig.url}?timeout=60s`);
      const prefix = uniqueChannel();
      const channels = numbered(500).map((number) => `${prefix}.${number}`);
      const published = channels.map((channel) => broadcast.publish(channel, "hello"));
      const failures = published.map((message) => message.then(() => [], (error) => [`${error}`]));
      assertEquals((await Promise.all(failures)).flat(), []);
    });

    await t.step("a quota delays publishing, and its connection is well", async () => {
      const quota = ["--alter", "--entity-type", "clients", "--entity-name", "throttled"];
      await tool("kafka.admin.ConfigCommand", [
        ...["--bootstrap-server", rig.direct.replace("kafka://", "")],
        ...["--add-config", "producer_byte_rate=1000", ...quota],
      ]);
      const url = `${rig.url}?clientId=throttled&timeout=1s&probe=300ms`;
      await using broadcast = new Broadcast(url);
      const channel = await outsider.topic();
      const states: string[] = [];
      await broadcast.connect();
      broadcast.addEventListener("statechange", ({ state }) => states.push(state));
      const accepted: string[] = [];
      const failures: Error[] = [];
      for (const text of numbered(12)) {
        try {
          await broadcast.publish(channel, text.padEnd(4_000));
          accepted.push(text);
        } catch (error) {
          failures.push(error as Error);
        }
      }
      assertEquals(states, []);
      assert(failures.length > 0, "the quota did not delay anything");
      for (const error of failures) assert(error instanceof ConnectionError, `${error}`);
      assert(failures[0]!.message.includes("a quota of the broker delays it"), `${failures[0]}`);
      // None is stored that was rejected.
      assertEquals(await outsider.counts(channel), [accepted.length]);
    });
  });

  Deno.test("kafka: a broker whose advertised address cannot be reached is named", async () => {
    const advertisedPort = freePort();
    await using server = await start({ advertisedPort });
    await using broadcast = new Broadcast(`${server.url}?timeout=500ms`);
    const channel = uniqueChannel();
    const published = await assertRejects(() => broadcast.publish(channel, "x"), ConnectionError);
    const reason = `cannot reach broker 1 at 127.0.0.1:${advertisedPort}, ` +
      `the address in its advertised.listeners: Connection error: connect ECONNREFUSED 127.0.0.1:${advertisedPort}`;
    assertEquals(
      published.message,
      `Cannot publish to "${channel}": ${`kafka://127.0.0.1:${server.port}`} could not store it for 0.5 s, ${reason}; the message was not published`,
    );
    const subscribed = await assertRejects(() => broadcast.subscribe(channel), ConnectionError);
    assertEquals(subscribed.message, `Cannot subscribe to "${channel}": ${reason}`);
  });

  Deno.test("kafka: sessions that end after two seconds are renewed", async () => {
    await using server = await start({
      user: { name: "alice", password: "right" },
      properties: { "connections.max.reauth.ms": "2000" },
    });
    await using broadcast = new Broadcast(`${server.url}?sasl=scram-sha-256`);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const states: string[] = [];
    broadcast.addEventListener("statechange", ({ state }) => states.push(state));
    const reading = messages(subscription, 50);
    const sent = numbered(50);
    const start_ = performance.now();
    for (const message of sent) {
      await broadcast.publish(channel, message);
      // Until the session has been renewed twice.
      while (performance.now() - start_ < 4_500 * (Number(message.match(/\d+/)![0]) / 50)) {
        await broadcast.history(channel, { limit: 1 });
      }
    }
    assertEquals(await within(reading), sent);
    assertEquals(states, []);
  });
}

/** The next events of a subscription, which stays open. */
async function events(
  subscription: Subscription<string>,
  count: number,
): Promise<BroadcastEvent<string>[]> {
  const read: BroadcastEvent<string>[] = [];
  for await (const event of subscription.values({ preventCancel: true })) {
    read.push(event);
    if (read.length === count) break;
  }
  return read;
}

withBroker("kafka", () => passing());
