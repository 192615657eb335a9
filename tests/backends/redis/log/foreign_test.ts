/** What other programs leave where streams and keys are: it concerns one channel alone. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { Redis } from "ioredis";
import { Broadcast, RefusedError } from "../../../../mod.ts";
import { messages, take, uniqueChannel } from "../../../conformance/harness.ts";
import { withBroker } from "../../../services/broker.ts";
import { statesOf } from "../own_server.ts";
import { closed } from "./stream.ts";

/** More than a number of JavaScript can count to. */
const HUGE = "9007199254740993-0";

withBroker("redis", (url) => {
  test("an id beyond 2^53 ends the subscription that meets it, and no other", async (rig) => {
    const { broadcast, client, channel, other, foreign } = rig;
    const subscriptions = await Promise.all(
      [channel, other].map((one) => broadcast.subscribe(one)),
    );
    const states = statesOf(broadcast);
    for (const message of ["one", "two"]) await foreign(channel, "*", "message", message);
    const [one] = await take(subscriptions[0]!, 2);
    const end = assertRejects(() => messages(subscriptions[0]!, 1), RefusedError, HUGE);
    const others = Array.from({ length: 50 }, (_, index) => broadcast.publish(other, `${index}`));
    await foreign(channel, HUGE, "message", "huge");
    await Promise.all(others);
    assertEquals((await messages(subscriptions[1]!, 50)).length, 50);
    await end;
    await assertRejects(() => broadcast.subscribe(channel), RefusedError, HUGE);
    await assertRejects(() => broadcast.history(channel), RefusedError, HUGE);
    // It gets the next id, and nobody could read it.
    await assertRejects(() => broadcast.publish(channel, "x"), RefusedError, "9007199254740993-1");
    const [two] = await broadcast.history(channel, { after: one!.id, limit: 1 });
    assertEquals(two!.message, "two");
    await broadcast.publish(other, "last");
    assertEquals(await messages(subscriptions[1]!, 1), ["last"]);
    assertEquals(states, []);
    await client.del(channel);
    const again = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "again");
    assertEquals(await messages(again, 1), ["again"]);
  });

  test("entries without our field, or with many fields, are skipped or read", async (rig) => {
    const { broadcast, channel, foreign } = rig;
    const subscription = await broadcast.subscribe(channel);
    await foreign(channel, "*", "other", "x");
    await foreign(channel, "*", "", "");
    const many = Array.from({ length: 1_000 }, (_, index) => [`name${index}`, `${index}`]).flat();
    await foreign(channel, "*", ...many, "message", "many");
    await foreign(channel, "*", "__proto__", "x", "message", "proto", "message", "twice");
    const [one, two] = await take(subscription, 2);
    assertEquals([one!.message, Object.keys(one!.headers!).length], ["many", 1_000]);
    assertEquals(two!.message, "proto");
    assertEquals((await broadcast.history(channel)).length, 2);
  });

  test("a key of another type concerns its channel alone", async (rig) => {
    const { broadcast, client, channel, other } = rig;
    const [lost, kept] = await Promise.all([channel, other].map((one) => broadcast.subscribe(one)));
    const states = statesOf(broadcast);
    const end = assertRejects(() => messages(lost!, 1), RefusedError, "WRONGTYPE");
    await client.set(channel, "a string");
    await end;
    for (const idempotencyKey of [undefined, "key"]) {
      await assertRejects(
        () => broadcast.publish(channel, "x", { idempotencyKey }),
        RefusedError,
        "WRONGTYPE",
      );
    }
    await broadcast.publish(other, "hello");
    assertEquals(await messages(kept!, 1), ["hello"]);
    assertEquals(states, []);
  });

  for (
    const [what, store] of [
      ["another text", (client, key) => client.set(key, "1-0")],
      ["a list", (client, key) => client.rpush(key, "x")],
      ["an id beyond 2^53", (client, key) => client.set(key, `${HUGE} abc`)],
    ] as [string, (client: Redis, key: string) => Promise<unknown>][]
  ) {
    test(`${what} where a key is kept refuses one message alone`, async (rig) => {
      const { broadcast, client, channel } = rig;
      const subscription = await broadcast.subscribe(channel);
      const states = statesOf(broadcast);
      const key = `${channel}:broadcaster-key:mine`;
      await store(client, key);
      const [refused] = await Promise.all([
        assertRejects(
          () => broadcast.publish(channel, "x", { idempotencyKey: "mine" }),
          RefusedError,
        ),
        broadcast.publish(channel, "hello"),
        broadcast.publish(channel, "again", { idempotencyKey: "other" }),
      ]);
      assert(refused.message.startsWith(`Cannot publish to "${channel}": `), refused.message);
      assertEquals(await messages(subscription, 2), ["hello", "again"]);
      assertEquals(states, []);
      await client.del(key, `${channel}:broadcaster-key:other`);
    });
  }

  function test(what: string, body: (rig: Rig) => Promise<void>): void {
    Deno.test(`redis-stream: ${what}`, async () => {
      const client = new Redis(url);
      const [channel, other] = [uniqueChannel(), uniqueChannel()];
      try {
        await using broadcast = new Broadcast(`${url.replace("redis:", "redis-stream:")}?linger=0`);
        const foreign = async (key: string, id: string, ...fields: string[]) =>
          await client.xadd(key, id, ...fields as [string, string]);
        await body({ broadcast, client, channel, other, foreign });
      } finally {
        await client.del(channel, other);
        await closed(client);
      }
    });
  }
});

interface Rig {
  readonly broadcast: Broadcast;
  readonly client: Redis;
  readonly channel: string;
  readonly other: string;
  /** Adds an entry as other programs do, without a wake. */
  readonly foreign: (channel: string, id: string, ...fields: string[]) => Promise<unknown>;
}
