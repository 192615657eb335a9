/**
 * Cases on several channels in one subscription.
 *
 * @module
 */

import assert from "node:assert/strict";
import { eventStream, lastEventId } from "../../core/sse/mod.ts";
import { messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";

/** Registers the cases on arrays of channels. */
export function several({ features, test }: Suite): void {
  test("one subscription gets several channels, each in its order", async ({ open }) => {
    const broadcast = open();
    const names = [uniqueChannel(), uniqueChannel(), uniqueChannel()];
    const subscription = await broadcast.subscribe(names);
    const published = Promise.all(
      numbered(300).map((message, index) => broadcast.publish(names[index % 3]!, message)),
    );
    await broadcast.publish(uniqueChannel(), "elsewhere");
    const events = await take(subscription, 300);
    for (const [index, name] of names.entries()) {
      assert.deepEqual(
        events.filter(({ channel }) => channel === name).map(({ message }) => message),
        numbered(300).filter((_, number) => number % 3 === index),
      );
    }
    assert.equal(new Set(events.map(({ id }) => id)).size, 300);
    for (const { id } of events) assert.match(id, /^[\w.~-]{1,1024}$/);
    await published;
  });

  test("32 channels are one subscription, 33 are refused", async ({ open }) => {
    const broadcast = open();
    const names = Array.from({ length: 33 }, uniqueChannel);
    const subscription = await broadcast.subscribe(names.slice(0, 32));
    for (const name of names) await broadcast.publish(name, name);
    const events = await take(subscription, 32);
    assert.deepEqual(new Set(events.map(({ message }) => message)), new Set(names.slice(0, 32)));
    for (const { id } of events) assert.ok(id.length <= 1_024, `${id.length} bytes`);
    await assert.rejects(broadcast.subscribe(names), {
      name: "RangeError",
      message: "Cannot subscribe to 33 channels: one subscription takes 32, make several",
    });
  });

  test("one id resumes all channels, in whatever order they are named", async ({ open }) => {
    const broadcast = open();
    const [one, other] = [uniqueChannel(), uniqueChannel()];
    const first = await broadcast.subscribe([one, other]);
    for (const message of numbered(6)) {
      await broadcast.publish(one, `one ${message}`);
      await broadcast.publish(other, `other ${message}`);
    }
    const seen = await take(first, 5);
    first.close();
    const resumed = await broadcast.subscribe([other, one, one], { after: seen[4]!.id });
    const rest = await take(resumed, 7);
    assert.equal(rest.some(({ gap }) => gap), false);
    for (const name of [one, other]) {
      const received = [...seen, ...rest].filter(({ channel }) => channel === name);
      assert.deepEqual(
        received.map(({ message }) => message),
        numbered(6, name === one ? "one m" : "other m"),
      );
    }
  });

  test("an event stream of several channels resumes after its last id", async ({ open }) => {
    const broadcast = open();
    const [one, other] = [uniqueChannel(), uniqueChannel()];
    const first = eventStream(await broadcast.subscribe([one, other])).getReader();
    await broadcast.publish(one, "one");
    let seen = "";
    while (!seen.includes("data: one\n")) seen += await readText(first);
    await first.cancel();
    await broadcast.publish(other, "meanwhile");
    const id = /id: (\S+)\ndata: one\n/.exec(seen)![1]!;
    const request = new Request("http://localhost/", { headers: { "last-event-id": id } });
    const after = lastEventId(request);
    assert.equal(after, id);
    const second = eventStream(await broadcast.subscribe([one, other], { after })).getReader();
    await broadcast.publish(one, "two");
    let received = "";
    while (!/data: two\n/.test(received) || !/data: meanwhile\n/.test(received)) {
      received += await readText(second);
    }
    await second.cancel();
    const data = received.match(/^(data|event): .*$/gm)!;
    assert.deepEqual(data.sort(), ["data: meanwhile", "data: two"]);
  });

  test("an id of other channels counts as none, with a gap", async ({ open }) => {
    const broadcast = open();
    const names = [uniqueChannel(), uniqueChannel()].sort();
    const first = await broadcast.subscribe([names[0]!, uniqueChannel()]);
    await broadcast.publish(names[0]!, "one");
    const [event] = await take(first, 1);
    const told: unknown[] = [];
    const live = await broadcast.subscribe(names, {
      after: event!.id,
      onGap: (gap) => told.push(gap),
    });
    const next = take(live, 1);
    assert.deepEqual(told, [{ cause: "unknown" }]);
    await broadcast.publish(names[1]!, "two");
    assert.deepEqual((await next)[0]!.gap, { cause: "unknown" });
  });

  test("a subscription to several ends with close(), cancel(), break and its signal", async ({ open }) => {
    const broadcast = open({ linger: 0 });
    const names = [uniqueChannel(), uniqueChannel()];
    const closed = await broadcast.subscribe(names);
    const waiting = messages(closed, 1);
    closed.close();
    assert.deepEqual(await waiting, []);
    const cancelled = await broadcast.subscribe(names);
    await cancelled.cancel();
    assert.equal((await cancelled.getReader().read()).done, true);
    const abort = new AbortController();
    const aborted = await broadcast.subscribe(names, { signal: abort.signal });
    const failing = assert.rejects(messages(aborted, 1), { name: "TimeoutError" });
    abort.abort(new DOMException("late", "TimeoutError"));
    await failing;
    const left = await broadcast.subscribe(names);
    await broadcast.publish(names[1]!, "hello");
    for await (const { message } of left) {
      assert.equal(message, "hello");
      break;
    }
    assert.equal(left.locked, false);
  });

  test("disconnect() ends a subscription to several after what has arrived", async ({ open }) => {
    const broadcast = open();
    const names = [uniqueChannel(), uniqueChannel()];
    const subscription = await broadcast.subscribe(names);
    const witness = await broadcast.subscribe(names);
    for (const name of names) await broadcast.publish(name, name);
    await take(witness, 2);
    await broadcast.disconnect();
    assert.deepEqual(new Set(await messages(subscription, 3)), new Set(names));
  });

  if (!features.log) {
    test("what the rings of several channels no longer hold is reported", async ({ open }) => {
      const broadcast = open({ buffer: 16 });
      const [one, other] = [uniqueChannel(), uniqueChannel()];
      const told: unknown[] = [];
      const stalled = await broadcast.subscribe([one, other], { onGap: (gap) => told.push(gap) });
      const reading = await broadcast.subscribe(one);
      const read = messages(reading, 100);
      for (const message of numbered(100)) await broadcast.publish(one, message);
      await read;
      const [first, second] = await take(stalled, 2);
      assert.deepEqual([first!.message, second!.message], ["m84", "m85"]);
      assert.deepEqual([first!.gap!.cause, first!.gap!.missed], ["overflow", 84]);
      assert.deepEqual(told, [first!.gap]);
      assert.equal(second!.gap, undefined);
    });
    return;
  }

  test("history of several channels is merged by time", async ({ open }) => {
    const broadcast = open();
    const names = [uniqueChannel(), uniqueChannel(), uniqueChannel()];
    for (const [index, message] of numbered(12).entries()) {
      await broadcast.publish(names[index % 2]!, message);
      // Events that are published within a millisecond have the same timestamp.
      const published = Date.now();
      while (Date.now() <= published + 1) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const subscription = await broadcast.subscribe(names, { history: 7 });
    const first = await take(subscription, 7);
    assert.deepEqual(first.map(({ message }) => message), numbered(12).slice(5));
    await broadcast.publish(names[2]!, "live");
    assert.deepEqual(await messages(subscription, 1), ["live"]);
    const resumed = await broadcast.subscribe(names, { after: first[2]!.id });
    const rest = await messages(resumed, 5);
    assert.deepEqual(new Set(rest), new Set([...numbered(12).slice(8), "live"]));
  });

  test("one id resumes several channels in another process", async ({ open }) => {
    const broadcast = open();
    const [one, other] = [uniqueChannel(), uniqueChannel()];
    const first = await broadcast.subscribe([one, other]);
    await broadcast.publish(one, "m0");
    const [seen] = await take(first, 1);
    for (const message of numbered(5)) await broadcast.publish(other, message);
    await broadcast.publish(one, "m1");
    const elsewhere = features.crossProcess ? open() : broadcast;
    const resumed = await elsewhere.subscribe([one, other], { after: seen!.id });
    const events = await take(resumed, 6);
    assert.equal(events.some(({ gap }) => gap), false);
    const ofOne = events.filter(({ channel }) => channel === one);
    assert.deepEqual(ofOne.map(({ message }) => message), ["m1"]);
    const ofOther = events.filter(({ channel }) => channel === other);
    assert.deepEqual(ofOther.map(({ message }) => message), numbered(5));
  });
}

async function readText(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}
