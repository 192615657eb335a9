/**
 * Resuming after an id.
 *
 * @module
 */

import assert from "node:assert/strict";
import { eventStream, lastEventId } from "../../core/sse/mod.ts";
import { messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";

/** Cases on `after`. */
export function resuming({ features, test }: Suite): void {
  test("after resumes behind an id while the tail lingers", async ({ open, channel }) => {
    const broadcast = open();
    const first = await broadcast.subscribe(channel);
    for (const message of numbered(5)) await broadcast.publish(channel, message);
    const events = await take(first, 2);
    first.close();
    await broadcast.publish(channel, "meanwhile");
    const resumed = await broadcast.subscribe(channel, { after: events[1]!.id });
    assert.deepEqual(await messages(resumed, 4), ["m2", "m3", "m4", "meanwhile"]);
  });

  test("after the newest id only what is new arrives, without a gap", async ({ open, channel }) => {
    const broadcast = open();
    const first = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "old");
    const [event] = await take(first, 1);
    const resumed = await broadcast.subscribe(channel, { after: event!.id });
    await broadcast.publish(channel, "new");
    const [next] = await take(resumed, 1);
    assert.equal(next!.message, "new");
    assert.equal(next!.gap, undefined);
  });

  test("an event stream that reconnects while the tail lingers loses nothing", async ({ open, channel }) => {
    const broadcast = open();
    const first = eventStream(await broadcast.subscribe(channel)).getReader();
    await broadcast.publish(channel, "one");
    let seen = "";
    while (!seen.includes("data: one\n")) seen += await readText(first);
    await first.cancel();
    await broadcast.publish(channel, "meanwhile");
    const id = /id: (\S+)\ndata: one\n/.exec(seen)![1]!;
    const request = new Request("http://localhost/", { headers: { "last-event-id": id } });
    const resumed = await broadcast.subscribe(channel, { after: lastEventId(request) });
    const second = eventStream(resumed).getReader();
    await broadcast.publish(channel, "two");
    let received = "";
    while (!received.includes("data: two\n")) received += await readText(second);
    await second.cancel();
    assert.deepEqual(received.match(/^(data|event): .*$/gm), ["data: meanwhile", "data: two"]);
  });

  test("an id that is foreign or malformed is a TypeError, or a gap", async ({ open, channel }) => {
    const broadcast = open();
    const name = uniqueChannel();
    const other = await broadcast.subscribe(name);
    await broadcast.publish(name, "other");
    const [event] = await take(other, 1);
    const foreign = event!.id;
    await assert.rejects(broadcast.subscribe(channel, { after: foreign }), {
      name: "TypeError",
      message:
        `Cannot resume "${channel}" behind "${foreign}": it is an id of another channel or backend, pass foreign: "gap" to start live instead`,
    });
    await assert.rejects(broadcast.subscribe(channel, { after: "no id\n" }), {
      name: "TypeError",
      message:
        `Cannot resume "${channel}" behind "no id\\n": it is not an event id, pass foreign: "gap" to start live instead`,
    });
    const live = await broadcast.subscribe(channel, { after: foreign, foreign: "gap" });
    await broadcast.publish(channel, "live");
    const [next] = await take(live, 1);
    assert.deepEqual(next!.gap, { cause: "unknown" });
  });

  // With a log nothing of this is lost.
  if (features.log) return;

  test("an id of an earlier tail starts live, with a gap told at once", async ({ open, channel }) => {
    const broadcast = open({ linger: 0 });
    const first = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "old");
    const [event] = await take(first, 1);
    first.close();
    const told: unknown[] = [];
    const resumed = await broadcast.subscribe(channel, {
      after: event!.id,
      onGap: (gap) => told.push(gap),
    });
    const next = take(resumed, 1);
    const gap = { cause: "disconnect", after: event!.id };
    assert.deepEqual(told, [gap]);
    await broadcast.publish(channel, "new");
    assert.deepEqual((await next)[0]!.gap, gap);
  });

  test("what the ring no longer holds is counted", async ({ open, channel }) => {
    const broadcast = open({ buffer: 16 });
    const first = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "m");
    const [event] = await take(first, 1);
    const reading = messages(first, 100);
    for (const message of numbered(100)) await broadcast.publish(channel, message);
    await reading;
    const resumed = await broadcast.subscribe(channel, { after: event!.id });
    const [next] = await take(resumed, 1);
    assert.equal(next!.message, "m84");
    assert.deepEqual(next!.gap, { cause: "disconnect", after: event!.id, missed: 84 });
  });

  test('onGap: "error" ends the subscription with a GapError', async ({ open, channel }) => {
    const broadcast = open({ buffer: 8 });
    const strict = await broadcast.subscribe(channel, { onGap: "error" });
    const reading = await broadcast.subscribe(channel);
    const read = messages(reading, 100);
    for (const message of numbered(100)) await broadcast.publish(channel, message);
    await read;
    await assert.rejects(take(strict, 1), {
      name: "GapError",
      message: `Cannot continue "${channel}": events may be missing (overflow)`,
    });
    assert.deepEqual(await take(strict, 1), []);
  });
}

async function readText(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}
