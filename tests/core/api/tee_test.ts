/** `subscription.tee()`: two subscriptions at one place, each at its own pace, on the bounded ring. */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { eventStream } from "../../../core/sse/mod.ts";
import { Broadcast, type BroadcastEvent, type Gap, GapError, Subscription } from "../../../mod.ts";
import { messages, numbered, take } from "../../conformance/harness.ts";
import { FakeBackend } from "../log/fake.ts";

const WITHOUT_LOG = "memory://?history=0&linger=0&buffer=4";
const WITH_LOG = "memory://?linger=0&buffer=4";

for (const url of [WITHOUT_LOG, WITH_LOG]) {
  const kind = url === WITH_LOG ? "with a log" : "without a log";

  Deno.test(`both branches get the same events, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    await broadcast.publish("c", "before");
    const [one, other] = subscription.tee();
    assert(one instanceof Subscription && other instanceof Subscription);
    await broadcast.publish("c", "after");
    const [left, right] = await Promise.all([take(one, 2), take(other, 2)]);
    assertEquals(left.map(({ message }) => message), ["before", "after"]);
    for (const [index, event] of left.entries()) assertStrictEquals(right[index], event);
  });

  Deno.test(`branches begin after what was read, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    for (const message of ["one", "two", "three"]) await broadcast.publish("c", message);
    assertEquals(await messages(subscription, 1), ["one"]);
    const branches = subscription.tee();
    for (const branch of branches) assertEquals(await messages(branch, 2), ["two", "three"]);
  });

  Deno.test(`the gap that was not told yet is told by both, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const told: Gap[] = [];
    const subscription = await broadcast.subscribe("c", {
      after: "of no channel",
      onGap: (gap) => void told.push(gap),
    });
    const branches = subscription.tee();
    await broadcast.publish("c", "one");
    for (const branch of branches) {
      const [event] = await take(branch, 1);
      assertEquals(event!.gap, { cause: "unknown" });
    }
    assertEquals(told, [{ cause: "unknown" }, { cause: "unknown" }]);
  });

  for (const target of ["c", ["c", "d"]]) {
    Deno.test(`the gap that was told comes with the next event of ${target}, ${kind}`, async () => {
      await using broadcast = new Broadcast(url);
      const told: Gap[] = [];
      const subscription = await broadcast.subscribe(target, {
        after: "of no channel",
        onGap: (gap) => void told.push(gap),
      });
      const reader = subscription.getReader();
      const rejected = assertRejects(() => reader.read(), TypeError);
      await Promise.resolve();
      assertEquals(told.length, 1);
      reader.releaseLock();
      await rejected;
      const [one, other] = subscription.tee();
      const stream = eventStream(other).pipeThrough(new TextDecoderStream()).getReader();
      await stream.read();
      await broadcast.publish("c", "one");
      assertEquals((await take(one, 1))[0]!.gap, { cause: "unknown" });
      const { value } = await stream.read();
      assert(value!.includes("event: gap"), value);
      assertEquals(told.length, 1);
      await stream.cancel();
    });
  }

  Deno.test(`onGap: "error" fails the branch that meets the gap, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c", { after: "none", onGap: "error" });
    for (const branch of subscription.tee()) {
      await assertRejects(() => branch.getReader().read(), GapError);
    }
  });

  Deno.test(`the tail is left when both have left, ${kind}`, async () => {
    const backend = new Counting(url === WITH_LOG);
    await using broadcast = new Broadcast(backend, { linger: 0 });
    const [one, other] = (await broadcast.subscribe("c")).tee();
    one.close();
    await broadcast.publish("c", "still here");
    assertEquals(await messages(other as Subscription<unknown>, 1), ["still here"]);
    assertEquals(backend.cancelled, 0);
    await other.cancel();
    await backend.left.promise;
    assertEquals(backend.cancelled, 1);
  });

  Deno.test(`an event that the stream holds comes first in both, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe("c");
    const reader = subscription.getReader();
    const rejected = assertRejects(() => reader.read(), TypeError);
    await Promise.resolve();
    reader.releaseLock();
    await rejected;
    const watching = await broadcast.subscribe("c");
    await broadcast.publish("c", "held");
    await broadcast.publish("c", "next");
    await take(watching, 2);
    const [one, other] = subscription.tee();
    const second = other.getReader();
    assertEquals(await messages(one, 2), ["held", "next"]);
    assertEquals((await second.read()).value?.message, "held");
    assertEquals((await second.read()).value?.message, "next");
  });

  Deno.test(`events of several channels and their ids are the same in both, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(["c", "d"]);
    // All wait, so that events are taken ahead of a reader.
    const first = take(subscription, 1);
    await broadcast.publish("c", "c1");
    await broadcast.publish("d", "d1");
    await broadcast.publish("c", "c2");
    await first;
    const [one, other] = subscription.tee();
    await broadcast.publish("d", "d2");
    const [left, right] = [await take(one, 3), await take(other, 3)];
    assertEquals(left.map(({ message }) => message).sort(), ["c2", "d1", "d2"]);
    assertEquals(right, left);
    one.close();
    other.close();
    const resumed = await broadcast.subscribe(["c", "d"], { after: left[2]!.id });
    await broadcast.publish("c", "c3");
    assertEquals(await messages(resumed, 1), ["c3"]);
  });

  Deno.test(`branches of several channels fall behind each for itself, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const subscription = await broadcast.subscribe(["c", "d"], { after: "of no channel" });
    const [fast, slow] = subscription.tee();
    for (const message of numbered(9)) {
      await broadcast.publish("c", message);
      assertEquals(await messages(fast, 1), [message]);
    }
    const kept = url === WITH_LOG ? numbered(9) : numbered(9).slice(-4);
    const events = await take(slow, kept.length);
    assertEquals(events.map(({ message }) => message), kept);
    assertEquals(events[0]!.gap?.cause, "unknown");
  });

  Deno.test(`a branch can be teed again, ${kind}`, async () => {
    await using broadcast = new Broadcast(url);
    const abort = new AbortController();
    const subscription = await broadcast.subscribe("c", { signal: abort.signal });
    const [one, rest] = subscription.tee();
    const [two, three] = rest.tee();
    assertThrows(() => rest.tee(), TypeError);
    await broadcast.publish("c", "one");
    for (const branch of [one, two, three]) assertEquals(await messages(branch, 1), ["one"]);
    rest.close();
    await broadcast.publish("c", "two");
    assertEquals(await messages(one, 1), ["two"]);
    for (const branch of [two, three]) {
      assertEquals((await branch.getReader().read()).done, true);
    }
    const reading = one.getReader().read();
    abort.abort(new Error("enough"));
    await assertRejects(() => reading, Error, "enough");
  });
}

Deno.test("the original is locked: reading or splitting it again says so", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("c");
  subscription.tee();
  const by = 'subscription to "c": it is locked by tee(), read its branches';
  assertEquals(subscription.locked, true);
  assertThrows(() => subscription.tee(), TypeError, `Cannot tee ${by}`);
  assertThrows(() => subscription.values(), TypeError, `Cannot iterate over ${by}`);
  assertThrows(() => subscription.getReader(), TypeError);
  await assertRejects(() => subscription.cancel(), TypeError);
  const other = await broadcast.subscribe("c");
  other.getReader();
  const locked = 'Cannot tee subscription to "c": it is locked to a reader';
  assertEquals(assertThrows(() => other.tee(), TypeError).message, locked);
});

Deno.test("only the slow branch overflows, with an exact count; neither buffers", async () => {
  await using broadcast = new Broadcast(WITHOUT_LOG);
  const gaps: Gap[] = [];
  broadcast.addEventListener("gap", ({ gap }) => void gaps.push(gap));
  const [fast, slow] = (await broadcast.subscribe("c")).tee();
  for (const message of numbered(10)) {
    await broadcast.publish("c", message);
    const [event] = await take(fast, 1);
    assertEquals(event!.message, message);
    assertEquals(event!.gap, undefined);
  }
  const events = await take(slow, 4);
  assertEquals(events.map(({ message }) => message), numbered(10).slice(-4));
  assertEquals(events[0]!.gap?.cause, "overflow");
  assertEquals(events[0]!.gap?.missed, 6);
  assertEquals(gaps.length, 1);
});

Deno.test("the slow branch gets from the log what the ring has dropped", async () => {
  await using broadcast = new Broadcast(WITH_LOG);
  const [fast, slow] = (await broadcast.subscribe("c")).tee();
  for (const message of numbered(50)) {
    await broadcast.publish("c", message);
    assertEquals(await messages(fast, 1), [message]);
  }
  const events = await take(slow, 50);
  assertEquals(events.map(({ message }) => message), numbered(50));
  assertEquals(events.some(({ gap }) => gap), false);
});

Deno.test("branches that nobody reads hold no more than the ring", async () => {
  for (const url of [WITHOUT_LOG, WITH_LOG.replace("?", "?history=8&")]) {
    await using broadcast = new Broadcast(url);
    const branches = (await broadcast.subscribe("c")).tee();
    const held: WeakRef<object>[] = [];
    // Each event is an object of its own: what is left of it is what somebody holds.
    const watching = await broadcast.subscribe("c");
    for (const message of numbered(200)) {
      await broadcast.publish("c", message);
      held.push(new WeakRef((await take(watching, 1))[0]!));
    }
    await new Promise((resolve) => setTimeout(resolve));
    collect();
    const left = held.filter((event) => event.deref()).length;
    assert(left < 20, `${left} of 200 are held`);
    for (const branch of branches) branch.close();
  }
});

for (const start of ["after", "history"] as const) {
  Deno.test(`branches of a subscription that replays (${start}) replay from its place`, async () => {
    const backend = new FakeBackend();
    await using broadcast = new Broadcast(backend, { buffer: 4 });
    const begin = await broadcast.subscribe("c");
    for (const message of numbered(3_000)) backend.append("c", message);
    const [first] = await take(begin, 1);
    begin.close();
    const subscription = await broadcast.subscribe(
      "c",
      start === "after" ? { after: first!.id } : { history: 2_999 },
    );
    assertEquals(await messages(subscription as Subscription<unknown>, 3), numbered(4).slice(1));
    const reads = backend.reads;
    const [one, other] = subscription.tee() as Subscription<unknown>[];
    const [left, right] = await Promise.all([take(one!, 2_996), take(other!, 2_996)]);
    assertEquals(left.map(({ message }) => message), numbered(3_000).slice(4));
    assertEquals(right, left);
    const shared = backend.reads - reads;
    backend.append("c", "live");
    assertEquals(await messages(one!, 1), ["live"]);
    assertEquals(await messages(other!, 1), ["live"]);
    const alone = backend.reads;
    const again = await broadcast.subscribe("c", { after: left[0]!.id });
    await take(again as Subscription<unknown>, 2_996);
    assert(shared <= 3_000 / 100 + 2, `${shared} reads, ${backend.reads - alone} alone`);
  });
}

Deno.test("a subscription is teed while it waits for a page", async () => {
  const backend = new FakeBackend();
  await using broadcast = new Broadcast(backend, { buffer: 4 });
  const begin = await broadcast.subscribe("c");
  for (const message of numbered(100)) backend.append("c", message);
  const [first] = await take(begin, 100);
  const subscription = await broadcast.subscribe("c", { after: first!.id });
  const reader = subscription.getReader();
  const rejected = assertRejects(() => reader.read(), TypeError);
  reader.releaseLock();
  const [one, other] = subscription.tee() as Subscription<unknown>[];
  await rejected;
  assertEquals(await messages(one!, 99), numbered(100).slice(1));
  assertEquals(await messages(other!, 99), numbered(100).slice(1));
});

Deno.test("a pattern is teed as a channel is", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe({ pattern: "room.*" }, { history: 1 });
  const branches = subscription.tee();
  assertEquals(branches.map(({ target }) => target), [subscription.target, subscription.target]);
  await broadcast.publish("room.kitchen", "hello");
  for (const branch of branches) assertEquals((await take(branch, 1))[0]!.channel, "room.kitchen");
});

for (const target of ["c", ["c", "d"]]) {
  for (const way of ["close", "abort", "dispose", "disconnect", "end"] as const) {
    Deno.test(`what ends the original (${way}) ends both branches of ${target}`, async () => {
      const broadcast = new Broadcast("memory://");
      const abort = new AbortController();
      const subscription = await broadcast.subscribe(target, { signal: abort.signal });
      const [one, other] = subscription.tee();
      const looped = drain(one);
      const reading = other.getReader().read();
      if (way === "close") subscription.close();
      if (way === "abort") abort.abort(new Error("enough"));
      if (way === "dispose") await subscription[Symbol.asyncDispose]();
      if (way === "disconnect") await broadcast.disconnect();
      if (way === "end") {
        for (const channel of [target].flat()) {
          await broadcast.writable(channel, { end: true }).close();
        }
      }
      if (way === "abort") {
        await assertRejects(() => looped, Error, "enough");
        await assertRejects(() => reading, Error, "enough");
      } else {
        assertEquals(await looped, []);
        assertEquals((await reading).done, true);
      }
      subscription.close();
      await broadcast.disconnect();
    });
  }

  for (const way of ["close", "cancel", "break", "return"] as const) {
    for (const which of [0, 1]) {
      Deno.test(`branch ${which} of ${target} leaves (${way}), the other goes on`, async () => {
        await using broadcast = new Broadcast("memory://");
        const branches = (await broadcast.subscribe(target)).tee();
        const [leaving, staying] = which === 0 ? branches : [...branches].reverse();
        await broadcast.publish("c", "one");
        if (way === "close") leaving!.close();
        if (way === "cancel") await leaving!.cancel();
        if (way === "break") { for await (const _ of leaving!) break; }
        if (way === "return") await leaving!.values().return!();
        await broadcast.publish("c", "two");
        assertEquals(await messages(staying!, 2), ["one", "two"]);
        assertEquals((await leaving!.getReader().read()).done, true);
      });
    }
  }

  Deno.test(`a subscription to ${target} that has ended is teed into two that have`, async () => {
    await using broadcast = new Broadcast("memory://");
    const closed = await broadcast.subscribe(target);
    closed.close();
    for (const branch of closed.tee()) {
      await branch.getReader().closed;
      branch.close();
    }
    const abort = new AbortController();
    const failed = await broadcast.subscribe(target, { signal: abort.signal });
    const reason = new Error("enough");
    abort.abort(reason);
    const [one, other] = failed.tee();
    assertStrictEquals(await assertRejects(() => one.getReader().closed), reason);
    assertStrictEquals(await assertRejects(() => drain(other)), reason);
  });

  Deno.test(`branches of ${target} let go of a signal when they leave`, async () => {
    await using broadcast = new Broadcast("memory://");
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, given);
    };
    signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, given);
    };
    const [one, other] = (await broadcast.subscribe(target, { signal })).tee();
    one.close();
    assertEquals(listeners, 1);
    other.close();
    assertEquals(listeners, 0);
  });
}

Deno.test("a subscription that is teed after its end holds no tail", async () => {
  const backend = new Counting(true);
  await using broadcast = new Broadcast(backend, { linger: 0 });
  const [ended, staying] = [await broadcast.subscribe("c"), await broadcast.subscribe("c")];
  ended.close();
  for (const branch of ended.tee()) branch.close();
  assertEquals(backend.cancelled, 0);
  staying.close();
  await backend.left.promise;
});

Deno.test("a channel that has ended stays ended in both", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe(["c", "d"]);
  await broadcast.publish("d", "one");
  await broadcast.writable("c", { end: true }).close();
  // Both channels are asked while it waits for what is not there.
  const iterator = subscription.values({ preventCancel: true });
  assertEquals((await iterator.next()).value?.message, "one");
  const waiting = iterator.next();
  await broadcast.history("c");
  await iterator.return!();
  await waiting;
  const branches = subscription.tee();
  await broadcast.publish("d", "two");
  await broadcast.writable("d", { end: true }).close();
  for (const branch of branches) {
    assertEquals((await drain(branch)).map(({ message }) => message), ["two"]);
  }
});

Deno.test("one branch is a response, the other a loop", async () => {
  await using broadcast = new Broadcast("memory://");
  const subscription = await broadcast.subscribe("c");
  const [shown, logged] = subscription.tee();
  const response = new Response(eventStream(shown));
  const looped = drain(logged);
  await broadcast.publish("c", "one");
  await broadcast.publish("c", "two");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  while (!text.includes("data: two")) text += (await reader.read()).value;
  assert(text.indexOf("data: one") > 0);
  await reader.cancel();
  await broadcast.publish("c", "three");
  await broadcast.writable("c", { end: true }).close();
  assertEquals((await looped).map(({ message }) => message), ["one", "two", "three"]);
});

Deno.test("a teed subscription is still a ReadableStream to the compiler", async () => {
  await using broadcast = new Broadcast<{ c: string; d: `d${number}` }>("memory://");
  const subscription = await broadcast.subscribe(["c", "d"]);
  const stream: ReadableStream<BroadcastEvent<string>> = subscription;
  const [one, other]: [ReadableStream<BroadcastEvent<string>>, ReadableStream] = stream.tee();
  const [again]: [typeof subscription, typeof subscription] = (one as typeof subscription).tee();
  await broadcast.publish("d", "d1");
  for await (const event of again) {
    if (event.channel === "d") assertEquals(event.message satisfies `d${number}`, "d1");
    break;
  }
  await other.cancel();
});

/** Counts the tails that were left. */
class Counting extends FakeBackend {
  cancelled = 0;
  readonly left: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(hasLog: boolean) {
    super();
    if (!hasLog) Object.defineProperty(this, "read", { value: undefined });
  }

  override async tail(...given: Parameters<FakeBackend["tail"]>): ReturnType<FakeBackend["tail"]> {
    const { records, ...tail } = await super.tail(...given);
    const reader = "getReader" in records ? records.getReader() : records;
    return {
      ...tail,
      records: {
        read: () => reader.read(),
        cancel: async () => {
          this.cancelled++;
          await reader.cancel();
          this.left.resolve();
        },
      },
    };
  }
}

function collect(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

async function drain<Chunk>(stream: ReadableStream<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
