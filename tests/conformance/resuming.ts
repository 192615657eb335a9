/**
 * Cases on resuming after an id.
 *
 * @module
 */

import assert from "node:assert/strict";
import { eventStream, lastEventId } from "../../core/sse/mod.ts";
import { craftedIds } from "./crafted_ids.ts";
import { messages, numbered, type Suite, take, uniqueChannel } from "./harness.ts";
import { Random } from "./random.ts";

/** Registers the cases on the option `after`. */
export function resuming({ features, test }: Suite): void {
  test("subscribe() resumes after an id while the tail lingers", async ({ open, channel }) => {
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

  test("after what is no id of the channel counts as none, with a gap", async ({ open, channel }) => {
    const broadcast = open();
    const name = uniqueChannel();
    const other = await broadcast.subscribe(name);
    await broadcast.publish(name, "other");
    const [event] = await take(other, 1);
    for (const [number, after] of [event!.id, "no id\n", ""].entries()) {
      const told: unknown[] = [];
      const live = await broadcast.subscribe(channel, { after, onGap: (gap) => told.push(gap) });
      const next = take(live, 1);
      assert.deepEqual(told, [{ cause: "unknown" }]);
      await broadcast.publish(channel, `m${number}`);
      assert.deepEqual((await next)[0]!.gap, { cause: "unknown" });
      assert.equal((await next)[0]!.message, `m${number}`);
    }
    if (features.log) {
      const past = await broadcast.subscribe(channel, { after: event!.id, history: 2 });
      await broadcast.publish(channel, "live");
      const [first, ...rest] = await take(past, 3);
      assert.deepEqual([first!.message, first!.gap], ["m1", { cause: "unknown" }]);
      assert.deepEqual(rest.map(({ message, gap }) => [message, gap]), [
        ["m2", undefined],
        ["live", undefined],
      ]);
    }
    const strict = await broadcast.subscribe(channel, { after: event!.id, onGap: "error" });
    await assert.rejects(strict.getReader().read(), {
      name: "GapError",
      gap: { cause: "unknown" },
    });
  });

  test("maxResume: a reader that resumes from long ago gets the newest events, behind a gap", async ({ open, channel }) => {
    const broadcast = open();
    const first = await broadcast.subscribe(channel);
    for (const message of numbered(20)) await broadcast.publish(channel, message);
    const ids = (await take(first, 20)).map(({ id }) => id);
    for (const maxResume of [1, 5]) {
      const resumed = await broadcast.subscribe(channel, { after: ids[2]!, maxResume });
      const [event, ...rest] = await take(resumed, maxResume);
      const missed = features.log ? {} : { missed: 17 - maxResume };
      assert.deepEqual(event!.gap, { cause: "overflow", after: ids[2]!, ...missed });
      const all = [event!, ...rest];
      assert.deepEqual(all.map(({ message }) => message), numbered(20).slice(-maxResume));
      assert.deepEqual(rest.filter(({ gap }) => gap), []);
      resumed.close();
      const within = { after: ids[19 - maxResume]!, maxResume };
      const near = await take(await broadcast.subscribe(channel, within), maxResume);
      assert.deepEqual(near.map(({ message }) => message), numbered(20).slice(-maxResume));
      assert.deepEqual(near.filter(({ gap }) => gap), []);
    }
  });

  test("maxResume: no id reads more than that", async ({ open, channel }) => {
    const broadcast = open();
    const first = await broadcast.subscribe(channel);
    for (const message of numbered(30)) await broadcast.publish(channel, message);
    const ids = (await take(first, 30)).map(({ id }) => id);
    const random = new Random(Math.floor(Math.random() * 2 ** 31));
    // Of no shard that the log has, and of a record that it does not have.
    const strange = ids[15]!.replace(/_\w+$/, "_strange") + "~zzzzzz-1";
    const crafted = [`${ids[0]!.split("~")[0]}~`, strange, ...craftedIds(random, ids, 20)];
    const readers = await Promise.all(
      crafted.map((after) => broadcast.subscribe(channel, { after, maxResume: 3 })),
    );
    const read = readers.map(async (reader, index) => {
      let past = 0;
      for await (const { message } of reader) {
        if (message === "live") break;
        else past++;
      }
      assert(past <= 3, `${past} events after ${JSON.stringify(crafted[index])}`);
    });
    await broadcast.publish(channel, "live");
    await Promise.all(read);
  });

  test("maxResume is kept in each of several channels", async ({ open, channel }) => {
    const broadcast = open();
    const names = [channel, uniqueChannel()];
    const first = await broadcast.subscribe(names);
    for (const name of names) {
      for (const message of numbered(10)) await broadcast.publish(name, `${name} ${message}`);
    }
    const ids = (await take(first, 20)).map(({ id }) => id);
    const resumed = await broadcast.subscribe(names, { after: ids[0]!, maxResume: 2 });
    const events = await take(resumed, 4);
    assert.deepEqual(
      events.map(({ message }) => message).toSorted(),
      names.flatMap((name) => [`${name} m8`, `${name} m9`]).toSorted(),
    );
    assert(events.some(({ gap }) => gap));
  });

  test("crafted ids reject no subscription, and end none", async ({ open, channel }) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const broadcast = open();
    const targets = [
      channel,
      [channel, uniqueChannel()],
      ...features.patterns ? [{ pattern: `${channel}*` }] : [],
    ];
    const subscriptions = await Promise.all(targets.map((target) => broadcast.subscribe(target)));
    const own = subscriptions.map((subscription) => take(subscription, 3));
    for (const message of numbered(3)) await broadcast.publish(channel, message);
    const ids = (await Promise.all(own)).flat().map(({ id }) => id);
    for (const [number, target] of targets.entries()) {
      const hasHistory = typeof target === "object" && "pattern" in target
        ? features.patternLog
        : features.log;
      const readers = await Promise.all(
        craftedIds(random, ids, 40).map(async (after) => {
          const history = hasHistory ? random.below(3) : 0;
          try {
            return { after, subscription: await broadcast.subscribe(target, { after, history }) };
          } catch (error) {
            throw new Error(`seed ${seed}: ${JSON.stringify(after)} rejects`, { cause: error });
          }
        }),
      );
      await broadcast.publish(channel, `live ${number}`);
      await Promise.all(readers.map(async ({ after, subscription }) => {
        for await (const { message } of subscription) if (message === `live ${number}`) return;
        throw new Error(`seed ${seed}: ${JSON.stringify(after)} ends`);
      }));
    }
  });

  // With a log, no events are lost in the following cases.
  if (features.log) return;

  test("an id of an earlier tail starts live, with a gap reported at once", async ({ open, channel }) => {
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
