/** What headers reveal. */

import { assertEquals, assertMatch, assertNotEquals } from "@std/assert";
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
    numbers.map((number) => tracker.missed(headers[number - 1]));
  // Where it begins, nobody knows what was before.
  assertEquals(missed(3, 4), [0, 0]);
  assertEquals(missed(8), [3]);
  // What comes late or again was told as lost already.
  assertEquals(missed(6, 8, 9), [0, 0, 0]);
  assertEquals(tracker.missed(new Sequencer().next("a")), 0);
  assertEquals(missed(10), [0]);
});

Deno.test("what is no sequence is heeded by nobody", () => {
  const tracker = new SequenceTracker();
  for (
    const header of [undefined, "", "abc:1", "0123456789ab:", "0123456789ab:-1", "x".repeat(99)]
  ) {
    assertEquals(tracker.missed(header), 0);
  }
});

Deno.test("of many thousand publishers the newest are known", () => {
  const tracker = new SequenceTracker();
  const sequencers = Array.from({ length: 6_000 }, () => new Sequencer());
  for (const sequencer of sequencers) tracker.missed(sequencer.next("a"));
  const [first, last] = [sequencers[0]!, sequencers.at(-1)!];
  for (const sequencer of [first, last]) sequencer.next("a");
  assertEquals([first, last].map((sequencer) => tracker.missed(sequencer.next("a"))), [0, 1]);
});
