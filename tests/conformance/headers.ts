/**
 * Cases on message headers.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Suite, take } from "./harness.ts";
import { anyText, Random } from "./random.ts";

/** Registers the cases on headers. */
export function headers({ features, test }: Suite): void {
  if (!features.headers) {
    test("headers are refused at the call", async ({ open, channel }) => {
      const broadcast = open();
      await assert.rejects(
        broadcast.publish(channel, "m", { headers: { a: "b" } }),
        (error: Error) => {
          assert.equal(error.name, "TypeError");
          const start = `Cannot publish to "${channel}" with headers: `;
          assert.ok(error.message.startsWith(start), error.message);
          assert.match(error.message, /, backends that do are [\w-]+(, [\w-]+)+$/);
          return true;
        },
      );
      // Empty headers count as none.
      await broadcast.publish(channel, "m", { headers: {} });
    });
    return;
  }

  test("headers arrive with their event and no other, here and elsewhere", async (scope) => {
    const { channel, open } = scope;
    const broadcast = open();
    const other = scope.crossProcess ? open() : broadcast;
    const subscriptions = await Promise.all([
      broadcast.subscribe(channel),
      other.subscribe(channel),
      ...features.patterns ? [other.subscribe({ pattern: `${channel}*` })] : [],
    ]);
    const some = { "content-type": "text/plain", "Content-Type": "other", trace: "" };
    await Promise.all([
      broadcast.publish(channel, "0"),
      broadcast.publish(channel, "1", { headers: some }),
      broadcast.publish(channel, "2", { headers: {} }),
      broadcast.publish(channel, "", { headers: { last: "é 🎉 \"'\\" } }),
    ]);
    const expected = [undefined, some, undefined, { last: "é 🎉 \"'\\" }];
    for (const subscription of subscriptions) {
      const events = await take(subscription, 4);
      assert.deepEqual(events.map(({ message }) => message), ["0", "1", "2", ""]);
      assert.deepEqual(events.map(({ headers }) => headers), expected);
    }
    if (!features.log) return;
    const past = await other.history(channel);
    assert.deepEqual(past.map(({ headers }) => headers), expected);
    const late = await other.subscribe(channel, { history: 4 });
    assert.deepEqual(await take(late, 4), past);
  });

  test("any headers arrive unchanged, or are refused", async ({ open, channel }) => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = new Random(seed);
    const given = Array.from({ length: 100 }, () => ({
      ...Object.fromEntries(random.some(5, () => [`h${anyName(random)}`, anyHeader(random)])),
      ...Object.fromEntries([["__proto__", "p"], ["constructor", "c"]].slice(random.below(3))),
    }));
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const outcomes = await Promise.allSettled(
      given.map((headers) => broadcast.publish(channel, "m", { headers })),
    );
    const accepted = given.filter((_, index) => {
      const outcome = outcomes[index]!;
      if (outcome.status === "fulfilled") return true;
      assert.equal((outcome.reason as Error).name, "TypeError", `seed ${seed}: ${outcome.reason}`);
      return false;
    });
    assert.ok(accepted.length > given.length / 5, `seed ${seed}: ${accepted.length} are accepted`);
    const events = await take(subscription, accepted.length);
    const arrived = events.map(({ headers = {} }) => Object.entries(headers).sort());
    const sent = accepted.map((headers) => Object.entries(headers).sort());
    assert.deepEqual(arrived, sent, `seed ${seed}`);
  });

  test("8 KiB of headers arrive, with an empty message", async ({ open, channel }) => {
    const broadcast = open();
    const subscription = await broadcast.subscribe(channel);
    const headers = Object.fromEntries(
      Array.from({ length: 32 }, (_, number) => [`h${10 + number}`, "x".repeat(221)]),
    );
    await broadcast.publish(channel, "", { headers });
    const [event] = await take(subscription, 1);
    assert.deepEqual(event!.headers, headers);
    assert.equal(event!.message, "");
  });
}

const LETTERS = [..."abcXYZ019!#$%&'*+-.^_`|~"];

function anyName(random: Random): string {
  return random.some(20, () => random.of(LETTERS)).join("");
}

function anyHeader(random: Random): string {
  return anyText(random).replace(/\p{Cc}/gu, "").trim();
}
