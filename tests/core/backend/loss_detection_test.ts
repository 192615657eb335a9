/** What headers reveal. */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import type { Loss } from "../../../core/backend/contract.ts";
import { Sequencer, SequenceTracker } from "../../../core/backend/kit/loss_detection.ts";

Deno.test("a sequence counts each channel by itself, under a nonce of its own", () => {
  const sequencer = new Sequencer();
  const [one, two, other] = [sequencer.next("a"), sequencer.next("a"), sequencer.next("b")];
  assertMatch(one, /^[0-9a-z]{12}:1$/);
  assertEquals(two, one.replace(/1$/, "2"));
  assertMatch(other, /:1$/);
  assertNotEquals(other, one);
  assertNotEquals(new Sequencer().next("a"), one);
});

Deno.test("a hole in a sequence is a loss of so many, and only a hole", () => {
  const sequencer = new Sequencer();
  const tracker = new SequenceTracker();
  const headers = Array.from({ length: 10 }, () => sequencer.next("a"));
  const missed = (...numbers: number[]) =>
    numbers.map((number) => missedIn(tracker.loss(headers[number - 1])));
  // Where it begins, nobody knows what was before.
  assertEquals(missed(3, 4), [0, 0]);
  assertEquals(missed(8), [3]);
  // What comes late or again was told as lost already.
  assertEquals(missed(6, 8, 9), [0, 0, 0]);
  assertEquals(tracker.loss(new Sequencer().next("a")), undefined);
  assertEquals(missed(10), [0]);
});

Deno.test("what is no sequence is heeded by nobody", () => {
  const tracker = new SequenceTracker();
  for (
    const header of [undefined, "", "abc:1", "0123456789ab:", "0123456789ab:-1", "x".repeat(99)]
  ) {
    assertEquals(tracker.loss(header), undefined);
  }
});

Deno.test("of many thousand publishers the newest are known", () => {
  const tracker = new SequenceTracker();
  const sequencers = Array.from({ length: 6_000 }, () => new Sequencer());
  for (const sequencer of sequencers) tracker.loss(sequencer.next("a"));
  const [first, last] = [sequencers[0]!, sequencers.at(-1)!];
  for (const sequencer of [first, last]) sequencer.next("a");
  assertEquals([first, last].map((sequencer) => missedIn(tracker.loss(sequencer.next("a")))), [
    0,
    1,
  ]);
});

Deno.test("a forged number makes no absurd loss, and hides no real one", () => {
  const sequencer = new Sequencer();
  const tracker = new SequenceTracker();
  const headers = Array.from({ length: 20 }, () => sequencer.next("a"));
  const nonce = headers[0]!.split(":")[0]!;
  const hear = (header: string | undefined) => tracker.loss(header);
  const forge = (number: number) => hear(`${nonce}:${number}`);
  assertEquals([1, 2].map((number) => hear(headers[number - 1])), [undefined, undefined]);
  // It is told, without a number.
  assertEquals(forge(999_999_999_999_999), { kind: "loss" });
  assertEquals(hear(headers[2]), undefined);
  assertEquals(hear(headers[5]), { kind: "loss", missed: 2 });
  for (let count = 0; count < 100; count++) {
    assertEquals(forge(10 ** 9 + count * 10 ** 8), { kind: "loss" });
  }
  assertEquals(hear(headers[6]), undefined);
  assertEquals(hear(headers[9]), { kind: "loss", missed: 2 });
});

Deno.test("a forged number that comes first hides no loss after it", () => {
  const sequencer = new Sequencer();
  const tracker = new SequenceTracker();
  const headers = Array.from({ length: 10 }, () => sequencer.next("a"));
  tracker.loss(headers[0]!.replace(/:1$/, ":999999999999999"));
  // Where it began to be forged is not known: it may be a loss.
  assertEquals(tracker.loss(headers[0]), { kind: "loss" });
  assertEquals(tracker.loss(headers[1]), undefined);
  assertEquals(tracker.loss(headers[4]), { kind: "loss", missed: 2 });
});

Deno.test("a loss of more than is believed is told without a number, once", () => {
  const sequencer = new Sequencer();
  const tracker = new SequenceTracker();
  tracker.loss(sequencer.next("a"));
  for (let count = 0; count < 200_000; count++) sequencer.next("a");
  assertEquals(tracker.loss(sequencer.next("a")), { kind: "loss" });
  assertEquals(tracker.loss(sequencer.next("a")), undefined);
});

Deno.test("the number of a message that was never stored is used again, unless one followed", () => {
  const sequencer = new Sequencer();
  const tracker = new SequenceTracker();
  const next = () => sequencer.next("channel");
  assertEquals(missedIn(tracker.loss(next())), 0);
  sequencer.takeBack("channel", next());
  assertEquals(missedIn(tracker.loss(next())), 0);
  const early = next();
  const late = next();
  sequencer.takeBack("channel", early);
  assertEquals(missedIn(tracker.loss(late)), 1);
  sequencer.takeBack("other", late);
  assertEquals(missedIn(tracker.loss(next())), 0);
});

function missedIn(loss: Loss | undefined): number | undefined {
  return loss ? loss.missed : 0;
}
