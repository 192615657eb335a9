/**
 * Cases on payloads and codecs.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bytes, compressed, encrypted, json } from "../../mod.ts";
import { messages, type Suite, take } from "./harness.ts";

/** Registers the cases on payloads and codecs. */
export function payloads({ test, features, limit }: Suite): void {
  test("texts arrive as they were published", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const texts = [
      "",
      " ",
      "a\nb\r\nc\rd",
      "\ufeffbom",
      "ünïcödé 漢字 🎉",
      '{"a":1}',
      "\u0001\u007f",
    ];
    for (const text of texts) await broadcast.publish(channel, text);
    assert.deepEqual(await messages(subscription, texts.length), texts);
  });

  test("equal messages in one turn all arrive", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    await Promise.all(Array.from({ length: 10 }, () => broadcast.publish(channel, "same")));
    assert.deepEqual(await messages(subscription, 10), new Array(10).fill("same"));
  });

  test("the longest payload arrives", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const text = "x".repeat(Math.min(limit, 1_000_000));
    await broadcast.publish(channel, text);
    await broadcast.publish(channel, "end");
    assert.deepEqual(await messages(subscription, 2), [text, "end"]);
  });

  test("values arrive through the json codec", async ({ open, channel }) => {
    const broadcast = open({ codec: json() });
    const subscription = await broadcast.subscribe(channel);
    const values = [null, 0, "text", [1, [2]], { a: { b: "ü" } }, true];
    for (const value of values) await broadcast.publish(channel, value);
    assert.deepEqual(await messages(subscription, values.length), values);
  });

  if (features.binary) {
    test("bytes arrive as they were published", async ({ open, channel }) => {
      const broadcast = open({ codec: bytes() });
      const subscription = await broadcast.subscribe(channel);
      const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const published = broadcast.publish(channel, all);
      const copy = all.slice();
      all.fill(0);
      await published;
      await broadcast.publish(channel, new Uint8Array());
      const [first, second] = await messages(subscription, 2) as Uint8Array[];
      assert.deepEqual([...first!], [...copy]);
      assert.deepEqual([...second!], []);
    });

    test("messages that are compressed and encrypted arrive in order, live and again", async (scope) => {
      const { channel } = scope;
      const key = crypto.getRandomValues(new Uint8Array(32));
      const keys = { current: "k", keys: { k: key } };
      const broadcast = scope.open({ codec: encrypted(compressed(json()), keys) });
      const subscription = await broadcast.subscribe(channel);
      // Only some are long enough to be compressed, which takes longer than leaving the others.
      const values = Array.from({ length: 40 }, (_, number) =>
        number % 3 ? number : [
          number,
          "x".repeat(5_000),
        ]);
      await Promise.all(values.map((value) => broadcast.publish(channel, value)));
      const events = await take(subscription, values.length);
      assert.deepEqual(events.map(({ message }) => message), values);
      if (!features.log) return;
      assert.deepEqual(await broadcast.history(channel), events);
      const resumed = await broadcast.subscribe(channel, { after: events[4]!.id });
      assert.deepEqual(await take(resumed, values.length - 5), events.slice(5));
    });
  } else {
    test("bytes are refused at the call", async ({ open, channel }) => {
      const broadcast = open({ codec: bytes() });
      await broadcast.connect();
      await assert.rejects(broadcast.publish(channel, Uint8Array.of(1)), TypeError);
    });
  }

  if (features.binary && features.crossProcess) {
    test("a payload that cannot be decoded is reported, and the next event arrives", async ({ open, channel }) => {
      const stranger = open({ codec: bytes() });
      const broadcast = open();
      const reported: unknown[] = [];
      broadcast.addEventListener("messageerror", (event) => {
        reported.push(event.channel, [...event.payload as Uint8Array]);
        assert.equal((event.error as Error).name, "TypeError");
      });
      const subscription = await broadcast.subscribe(channel);
      await stranger.publish(channel, Uint8Array.of(0xff, 0xfe));
      await stranger.publish(channel, new TextEncoder().encode("next"));
      assert.deepEqual(await messages(subscription, 1), ["next"]);
      assert.deepEqual(reported, [channel, [0xff, 0xfe]]);
    });
  }

  test("a text that is no JSON is reported, and the next event arrives", async ({ open, channel }) => {
    const broadcast = open({
      codec: {
        name: "picky",
        encode: String,
        decode: (payload) => {
          const text = typeof payload === "string" ? payload : new TextDecoder().decode(payload);
          if (text === "bad") throw new SyntaxError("it is bad");
          return text;
        },
      },
    });
    const reported: unknown[] = [];
    broadcast.addEventListener("messageerror", ({ error }) => reported.push(String(error)));
    const subscription = await broadcast.subscribe(channel);
    await broadcast.publish(channel, "bad");
    await broadcast.publish(channel, "good");
    assert.deepEqual(await messages(subscription, 1), ["good"]);
    assert.deepEqual(reported, ["SyntaxError: it is bad"]);
  });

  test("a message that cannot be encoded is refused at the call", async ({ open, channel }) => {
    const broadcast = open();
    await assert.rejects(broadcast.publish(channel, 1), {
      name: "TypeError",
      message: "Cannot encode message as text: it is a number, use the json() or bytes() codec",
    });
    await assert.rejects(broadcast.publish(channel, "\ud800"), {
      name: "TypeError",
      message: "Cannot encode message as text: it has a lone surrogate",
    });
  });
}
