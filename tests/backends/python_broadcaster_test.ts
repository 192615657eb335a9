/**
 * What Python's `broadcaster` tests, tested here in its words; and the defects it
 * has, each with a test unless the conformance suite or a backend's own file has
 * it. Its numbers for them stand nowhere else, so they are told by their effect.
 */

import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { deadline } from "@std/async";
import { MemoryBackend } from "../../backends/memory/log.ts";
import type { Backend, OutgoingPayload, RecordReader, Tail } from "../../core/backend/contract.ts";
import { Broadcast } from "../../mod.ts";
import { withBroker } from "../services/broker.ts";

const PATIENCE = 60_000;

hello("memory", () => "memory://");
for (const name of ["redis", "postgres", "kafka"]) {
  withBroker(name, (url) => {
    hello(name, () => url);

    Deno.test(`${name}: leaving a channel and subscribing to another receives`, async () => {
      await using broadcast = new Broadcast(url, { linger: 0 });
      await receives(broadcast, "chatroom");
      await receives(broadcast, "chatroom1");
    });

    Deno.test(`${name}: what is published elsewhere is not delivered`, async () => {
      await using broadcast = new Broadcast(url);
      await using subscription = await broadcast.subscribe("chatroom");
      await broadcast.publish("chatroom1", "elsewhere");
      await broadcast.publish("chatroom", "hello");
      const { value } = await subscription.values().next();
      assertEquals(value!.message, "hello");
    });
  });
}

withBroker("kafka", (url) => {
  Deno.test("kafka: several servers in one URL", async () => {
    const server = url.replace("kafka://", "");
    await using broadcast = new Broadcast(`kafka://${server},${server}`);
    await receives(broadcast, "chatroom");
  });
});

hello("a backend of one's own", () => new OwnBackend());

Deno.test("an unknown backend is refused", () => {
  assertThrows(() => new Broadcast("unknown://"), TypeError, "unknown scheme");
});

Deno.test("either a URL or a backend is needed", () => {
  // @ts-expect-error: that is the point
  assertThrows(() => new Broadcast(undefined), TypeError, "must be a URL, a backend");
});

Deno.test("leaving unsubscribes", async () => {
  const backend = new OwnBackend();
  await using broadcast = new Broadcast(backend, { linger: 0 });
  {
    await using _subscription = await broadcast.subscribe("chatroom");
    assertEquals([...backend.subscribed], ["chatroom"]);
  }
  await backend.left.promise;
  assertEquals([...backend.subscribed], []);
});

Deno.test("leaving by an exception unsubscribes, and the exception is the one that is told", async () => {
  const backend = new OwnBackend();
  const boom = new Error("boom");
  // A failing unsubscribe must not take its place.
  backend.failing = new Error("cannot unsubscribe");
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const error = await assertRejects(async () => {
    await using _subscription = await broadcast.subscribe("chatroom");
    throw boom;
  });
  assertStrictEquals(error, boom);
  await backend.left.promise;
  assertEquals([...backend.subscribed], []);
});

Deno.test("a read that nobody waits for any more ends no iteration", async () => {
  await using broadcast = new Broadcast("memory://");
  const iterator = (await broadcast.subscribe("chatroom")).values();
  const abandoned = iterator.next();
  await Promise.race([abandoned, Promise.resolve("timed out")]);
  await broadcast.publish("chatroom", "one");
  await broadcast.publish("chatroom", "two");
  assertEquals((await abandoned).value!.message, "one");
  assertEquals((await iterator.next()).value!.message, "two");
});

Deno.test("reading on after the end hangs nobody", async () => {
  const broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("chatroom");
  const iterator = subscription.values();
  await broadcast.disconnect();
  for (let read = 0; read < 3; read++) {
    assertEquals(await deadline(iterator.next(), PATIENCE), { done: true, value: undefined });
  }
  for await (const _ of subscription) throw new Error("there is nothing to read");
});

Deno.test("publish() and disconnect() before connect() work", async () => {
  const broadcast = new Broadcast("memory://");
  await broadcast.publish("chatroom", "hello");
  await broadcast.disconnect();
  await new Broadcast("memory://").disconnect();
});

Deno.test("what was published before a subscription is not delivered to it", async () => {
  await using broadcast = new Broadcast("memory://");
  const early = broadcast.publish("chatroom", "early");
  const subscription = await broadcast.subscribe("chatroom");
  await early;
  await broadcast.publish("chatroom", "hello");
  assertEquals((await subscription.values().next()).value!.message, "hello");
});

function hello(name: string, target: () => string | Backend): void {
  Deno.test(`${name}: "hello" on "chatroom"`, async () => {
    await using broadcast = new Broadcast(target());
    await broadcast.connect();
    await receives(broadcast, "chatroom");
  });
}

async function receives(broadcast: Broadcast, channel: string): Promise<void> {
  await using subscription = await broadcast.subscribe(channel);
  await broadcast.publish(channel, "hello");
  const { value } = await deadline(subscription.values().next(), PATIENCE);
  assertEquals([value!.channel, value!.message], [channel, "hello"]);
}

/** A backend as an application writes one. */
class OwnBackend implements Backend {
  readonly name = "own";
  readonly address = "own://";
  readonly features = { crossProcess: false, binary: true };
  readonly subscribed = new Set<string>();
  readonly left: PromiseWithResolvers<void> = Promise.withResolvers();
  failing: Error | undefined;
  readonly #memory = new MemoryBackend(0);

  async publish(messages: readonly OutgoingPayload[]): Promise<void> {
    await this.#memory.publish(messages);
  }

  async tail(channel: string): Promise<Tail> {
    const { records } = await this.#memory.tail(channel);
    const reader = records as RecordReader;
    this.subscribed.add(channel);
    return {
      records: new ReadableStream({
        pull: async (controller) => {
          const { done, value } = await reader.read();
          if (!done) controller.enqueue(value);
        },
        cancel: async () => {
          await reader.cancel();
          this.subscribed.delete(channel);
          this.left.resolve();
          if (this.failing) throw this.failing;
        },
      }, { highWaterMark: 0 }),
    };
  }

  close(): Promise<void> {
    return this.#memory.close();
  }
}
