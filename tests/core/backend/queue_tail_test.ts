/** A tail for clients that push. */

import { assertEquals, assertRejects } from "@std/assert";
import type { Item } from "../../../core/backend/contract.ts";
import { QueueTail } from "../../../core/backend/kit/queue_tail.ts";

function record(payload: string): Item {
  return { kind: "record", payload };
}

/** The payloads of records. */
function payloads(items: readonly Item[]): unknown[] {
  return items.map((item) => item.kind === "record" ? item.payload : item.kind);
}

Deno.test("a tail passes items on while they are pushed, and first those that waited", () => {
  const tail = new QueueTail(() => {});
  const taken: unknown[] = [];
  tail.push(record("a"));
  tail.push(record("b"));
  tail.forward((items) => void taken.push(payloads(items)));
  assertEquals(taken, [["a", "b"]]);
  tail.push(record("c"));
  assertEquals(taken, [["a", "b"], ["c"]]);
});

Deno.test("what is pushed while items are taken follows them, together", async () => {
  const tail = new QueueTail(() => {});
  const taken: unknown[] = [];
  const slow = Promise.withResolvers<void>();
  const all = tail.forward((items) => {
    taken.push(payloads(items));
    if (taken.length === 1) tail.push(record("b"));
    if (taken.length === 2) return slow.promise;
  });
  tail.push(record("a"));
  tail.push(record("c"));
  tail.push(record("d"));
  assertEquals(taken, [["a"], ["b"]]);
  slow.resolve();
  await slow.promise;
  await tail.cancel();
  await all;
  assertEquals(taken, [["a"], ["b"], ["c", "d"]]);
});

Deno.test("a tail that is cancelled while items are taken passes on no more", async () => {
  const tail = new QueueTail(() => {});
  const taken: unknown[] = [];
  const slow = Promise.withResolvers<void>();
  const all = tail.forward((items) => {
    taken.push(payloads(items));
    return slow.promise;
  });
  tail.push(record("a"));
  tail.push(record("b"));
  await tail.cancel();
  slow.resolve();
  await all;
  assertEquals(taken, [["a"]]);
});

Deno.test("an error comes after all items, to a taker and to a reader alike", async () => {
  const forwarded = new QueueTail(() => {});
  const taken: unknown[] = [];
  forwarded.push(record("a"));
  forwarded.error(new Error("lost"));
  await assertRejects(
    () => forwarded.forward((items) => void taken.push(payloads(items))),
    Error,
    "lost",
  );
  assertEquals(taken, [["a"]]);
  const read = new QueueTail(() => {});
  read.push(record("a"));
  read.error(new Error("lost"));
  const { value } = await read.read();
  assertEquals(payloads(value as readonly Item[]), ["a"]);
  await assertRejects(() => read.read(), Error, "lost");
  assertEquals(await read.read(), { done: true });
});

Deno.test("what the taker throws, or rejects with, ends the forwarding", async () => {
  for (
    const fail of [() => {
      throw new Error("no");
    }, () => Promise.reject(new Error("no"))]
  ) {
    const tail = new QueueTail(() => {});
    tail.push(record("a"));
    await assertRejects(() => tail.forward(fail), Error, "no");
    await tail.cancel();
  }
});
