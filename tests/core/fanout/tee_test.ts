/** The tee against the platform's own: the same contract for each of N branches, and the traps. */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { Subscription } from "../../../core/api/subscription.ts";
import type { BroadcastEvent } from "../../../core/backend/event.ts";
import { Epoch, JointScope, Scope } from "../../../core/backend/id.ts";
import { Merge } from "../../../core/fanout/merge.ts";
import { Tee } from "../../../core/fanout/tee.ts";

type Events = BroadcastEvent<number>;

/** One source and its branches, whoever made them. */
interface Fixture {
  readonly branches: ReadableStream<Events>[];
  push(number: number): void;
  end(): void;
  fail(error: unknown): void;
  /** How many branches the source still serves; native streams only tell none from some. */
  readonly served: () => boolean;
}

function ours(count: number, limits = { count: 1024, bytes: 1 << 20 }): Fixture {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), limits);
  const branches = Array.from({ length: count }, () => new Subscription("numbers", tee.branch()));
  return {
    branches,
    push: (number) => tee.push({ channel: "numbers", message: number }, 8),
    end: () => tee.end(),
    fail: (error) => tee.end({ error }),
    served: () => tee.size > 0,
  };
}

function native(count: number): Fixture {
  let controller!: ReadableStreamDefaultController<Events>;
  let served = true;
  let rest = new ReadableStream<Events>({
    start: (given) => void (controller = given),
    cancel: () => void (served = false),
  });
  const branches: ReadableStream<Events>[] = [];
  while (branches.length < count - 1) {
    const [branch, next] = rest.tee();
    branches.push(branch);
    rest = next;
  }
  return {
    branches: [...branches, rest],
    push: (number) => controller.enqueue({ channel: "numbers", message: number, id: "" }),
    end: () => controller.close(),
    fail: (error) => controller.error(error),
    served: () => served,
  };
}

for (const [kind, make] of [["the tee", ours], ["native tee()", native]] as const) {
  for (const count of [1, 2, 3, 10]) {
    Deno.test(`${kind} gives ${count} branches every event, the same object, in order`, async () => {
      const { branches, push, end } = make(count);
      for (let number = 0; number < 5; number++) push(number);
      end();
      const [first, ...others] = await Promise.all(branches.map(drain));
      assertEquals(first!.map(({ message }) => message), [0, 1, 2, 3, 4]);
      for (const events of others) {
        for (const [index, event] of events.entries()) assertStrictEquals(event, first![index]);
      }
    });
  }

  Deno.test(`${kind}: reads that wait are answered in their order`, async () => {
    const { branches, push, end } = make(2);
    const reader = branches[0]!.getReader();
    const reads = [reader.read(), reader.read(), reader.read()];
    push(1);
    push(2);
    end();
    const results = await Promise.all(reads);
    assertEquals(results.map(({ value }) => value?.message), [1, 2, undefined]);
    assertEquals(results[2]!.done, true);
    await branches[1]!.cancel();
  });

  Deno.test(`${kind}: a branch that is cancelled leaves the others alone`, async () => {
    const { branches, push, end, served } = make(3);
    push(1);
    const cancelled = branches[1]!.cancel();
    push(2);
    assert(served());
    end();
    assertEquals((await drain(branches[0]!)).map(({ message }) => message), [1, 2]);
    assertEquals((await drain(branches[2]!)).map(({ message }) => message), [1, 2]);
    await cancelled;
  });

  Deno.test(`${kind}: when every branch is cancelled, the source is let go`, async () => {
    const { branches, push, served } = make(3);
    push(1);
    await Promise.all(branches.map((branch) => branch.cancel()));
    assertEquals(served(), false);
  });

  Deno.test(`${kind}: an error reaches every branch that waits`, async () => {
    const { branches, fail } = make(3);
    const boom = new Error("boom");
    const reads = branches.map((branch) => branch.getReader().read());
    fail(boom);
    for (const read of reads) assertStrictEquals(await assertRejects(() => read), boom);
  });

  Deno.test(`${kind}: a branch is locked by its reader, and free after it`, async () => {
    const { branches, push, end } = make(2);
    const [branch, other] = branches as [ReadableStream<Events>, ReadableStream<Events>];
    const reader = branch.getReader();
    assertEquals(branch.locked, true);
    assertThrows(() => branch.getReader(), TypeError);
    await assertRejects(() => branch.cancel(), TypeError);
    reader.releaseLock();
    assertEquals(branch.locked, false);
    push(1);
    end();
    for await (const { message } of branch) assertEquals(message, 1);
    assertEquals(branch.locked, false);
    await other.cancel();
  });

  Deno.test(`${kind}: a branch pipes, and can be teed again`, async () => {
    const { branches, push, end } = make(2);
    push(1);
    push(2);
    end();
    const doubled = branches[0]!.pipeThrough(
      new TransformStream<Events, number>({
        transform: ({ message }, controller) => controller.enqueue(message * 2),
      }),
    );
    const [left, right] = branches[1]!.tee();
    assertEquals(await drain(doubled), [2, 4]);
    assertEquals((await drain(left)).length, 2);
    assertEquals((await drain(right)).length, 2);
  });
}

Deno.test("a read pending when its lock is released strands no event", async () => {
  const { branches, push } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const reader = branch.getReader();
  const pending = reader.read();
  const rejected = assertRejects(() => pending, TypeError);
  reader.releaseLock();
  await rejected;
  const iterator = branch.values();
  const next = iterator.next();
  push(1);
  push(2);
  assertEquals((await next).value?.message, 1);
  assertEquals((await iterator.next()).value?.message, 2);
  await iterator.return!();
});

Deno.test("an event that came before the lock was released is that reader's", async () => {
  const { branches, push } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const reader = branch.getReader();
  const read = reader.read();
  await Promise.resolve();
  push(1);
  reader.releaseLock();
  assertEquals((await read).value?.message, 1);
  push(2);
  assertEquals((await branch.values().next()).value?.message, 2);
});

Deno.test("an event that came after the lock was released is not stranded, nor late", async () => {
  const { branches, push } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const reader = branch.getReader();
  const rejected = assertRejects(() => reader.read(), TypeError);
  await Promise.resolve();
  reader.releaseLock();
  push(1);
  await rejected;
  push(2);
  const numbers: number[] = [];
  for await (const { message } of branch) {
    numbers.push(message);
    if (numbers.length === 2) break;
  }
  assertEquals(numbers, [1, 2]);
});

Deno.test("next() calls that overlap are answered in their order", async () => {
  const { branches, push, end } = ours(1);
  const iterator = (branches[0] as Subscription<number>).values();
  const nexts = [iterator.next(), iterator.next(), iterator.next(), iterator.next()];
  push(1);
  push(2);
  push(3);
  end();
  const results = await Promise.all(nexts);
  assertEquals(results.map(({ value }) => value?.message), [1, 2, 3, undefined]);
});

Deno.test("return() during a pending next() ends at once", async () => {
  const { branches, served } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const iterator = branch.values();
  const next = iterator.next();
  assertEquals(await iterator.return!(), { done: true, value: undefined });
  assertEquals(await next, { done: true, value: undefined });
  assertEquals(branch.locked, false);
  assertEquals(served(), false);
});

Deno.test("break in one branch does not wait for the other, as native tee() does", async () => {
  const { branches, push } = ours(2);
  push(1);
  for await (const _ of branches[0]!) break;
  await branches[1]!.cancel();
});

Deno.test("an error comes after the events before it, and releases the lock", async () => {
  const { branches, push, fail } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const boom = new Error("boom");
  push(1);
  push(2);
  fail(boom);
  const numbers: number[] = [];
  const error = await assertRejects(async () => {
    for await (const { message } of branch) numbers.push(message);
  });
  assertStrictEquals(error, boom);
  assertEquals(numbers, [1, 2]);
  assertEquals(branch.locked, false);
  assertStrictEquals(await assertRejects(() => branch.getReader().read()), boom);
});

Deno.test("a loop that only releases goes on where it was", async () => {
  const { branches, push } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const numbers: number[] = [];
  for (const number of [1, 2, 3]) {
    push(number);
    for await (const { message } of branch.values({ preventCancel: true })) {
      numbers.push(message);
      break;
    }
  }
  assertEquals(numbers, [1, 2, 3]);
  const reader = branch.getReader();
  push(4);
  assertEquals((await reader.read()).value?.message, 4);
  await reader.cancel();
});

Deno.test("iterating over a locked subscription is a TypeError that says so", async () => {
  const { branches } = ours(1);
  const [branch] = branches as [Subscription<number>];
  const reader = branch.getReader();
  const error = await assertRejects(async () => {
    for await (const _ of branch) break;
  }, TypeError);
  assertEquals(
    error.message,
    'Cannot iterate over subscription to "numbers": it is locked to a reader',
  );
  await reader.cancel();
});

Deno.test("close() ends a subscription under a reader, a loop and a pipe", async () => {
  const { branches, push, served } = ours(3);
  const [read, looped, piped] = branches as Subscription<number>[];
  const reader = read!.getReader();
  const reading = reader.read();
  const looping = drain(looped!);
  const written: number[] = [];
  const piping = piped!.pipeTo(
    new WritableStream({ write: ({ message }) => void written.push(message) }),
  );
  push(1);
  await reading;
  const waiting = reader.read();
  for (const branch of branches) (branch as Subscription<number>).close();
  assertEquals((await waiting).done, true);
  await reader.closed;
  await piping;
  await looping;
  assertEquals(served(), false);
});

Deno.test("a branch that leaves leaves nothing behind", async () => {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), {
    count: 16,
    bytes: 1 << 20,
  });
  for (let round = 0; round < 1_000; round++) {
    const branch = new Subscription("numbers", tee.branch());
    const next = branch.values().next();
    branch.close();
    await next;
  }
  assertEquals(tee.size, 0);
  assert(tee.caughtUp);
});

Deno.test("a byte limit evicts as a count does, and one larger event is held alone", async () => {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), { count: 1024, bytes: 100 });
  const subscription = new Subscription("numbers", tee.branch());
  for (let number = 0; number < 10; number++) tee.push({ channel: "numbers", message: number }, 40);
  tee.push({ channel: "numbers", message: 10 }, 1_000);
  const [event] = await Promise.all([subscription.values().next()]);
  assertEquals(event.value!.message, 10);
  assertEquals(event.value!.gap, {
    cause: "overflow",
    after: tee.epoch.id(0),
    missed: 10,
  });
});

Deno.test("gaps that lie before one event merge", async () => {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), {
    count: 4,
    bytes: 1 << 20,
  });
  const told: string[] = [];
  const branch = tee.branch({ onGap: ({ cause }) => told.push(cause) });
  const subscription = new Subscription("numbers", branch);
  for (let number = 0; number < 6; number++) tee.push({ channel: "numbers", message: number }, 8);
  tee.gap("disconnect");
  for (let number = 6; number < 11; number++) tee.push({ channel: "numbers", message: number }, 8);
  const { value } = await subscription.values().next();
  assertEquals(value!.message, 7);
  assertEquals(value!.gap, { cause: "overflow", after: tee.epoch.id(0) });
  assertEquals(told, ["overflow", "disconnect"]);
});

Deno.test("onGap that throws ends the subscription with what it threw", async () => {
  const tee = new Tee<number>(new Epoch(new Scope("test", "numbers")), {
    count: 4,
    bytes: 1 << 20,
  });
  const boom = new Error("boom");
  const subscription = new Subscription(
    "numbers",
    tee.branch({
      onGap: () => {
        throw boom;
      },
    }),
  );
  const reading = subscription.getReader().read();
  tee.gap("disconnect");
  assertStrictEquals(await assertRejects(() => reading), boom);
  assertEquals(tee.size, 0);
});

for (const several of [false, true]) {
  const kind = several ? "several channels" : "one channel";

  Deno.test(`a gap that is yet to be met is met by both, ${kind}`, async () => {
    const { tee, subscription } = joined(several);
    tee.push({ channel: "numbers", message: 1 }, 8);
    tee.gap("disconnect");
    tee.push({ channel: "numbers", message: 2 }, 8);
    for (const branch of subscription.tee()) {
      tee.end();
      const events = await drain(branch as ReadableStream<Events>);
      assertEquals(events.map(({ gap }) => gap?.cause), [undefined, "disconnect"]);
    }
  });

  Deno.test(`a gap that was met while it waited comes with the next event, ${kind}`, async () => {
    const { tee, subscription } = joined(several);
    const iterator = subscription.values({ preventCancel: true });
    const waiting = iterator.next();
    tee.gap("disconnect");
    await iterator.return!();
    await waiting;
    const branches = subscription.tee();
    tee.push({ channel: "numbers", message: 1 }, 8);
    tee.end();
    for (const branch of branches) {
      const events = await drain(branch as ReadableStream<Events>);
      assertEquals(events.map(({ gap }) => gap?.cause), ["disconnect"]);
    }
  });
}

Deno.test("a fork of a merge knows how those that have ended did", async () => {
  const [one, other] = [newTee(), newTee()];
  const past = one.branch();
  const merge = new Merge([past, other.branch()], { scope: new JointScope("test", ["a", "b"]) });
  past.close();
  const fork = merge.fork();
  other.end({ end: { kind: "end", reason: "" } });
  for (const reader of [merge, fork]) {
    assertEquals(await reader.next(), { done: true, value: undefined });
    assertEquals(reader.ending.outcome, {});
  }
});

function newTee(): Tee<number> {
  const limits = { count: 16, bytes: 1 << 20 };
  return new Tee<number>(new Epoch(new Scope("test", "numbers")), limits);
}

/** A subscription to one channel, or to one of several of which another says nothing. */
function joined(several: boolean): { tee: Tee<number>; subscription: Subscription<number> } {
  const [tee, silent] = [newTee(), newTee()];
  const scope = new JointScope("test", ["numbers", "silent"]);
  const reader = several ? new Merge([tee.branch(), silent.branch()], { scope }) : tee.branch();
  silent.end();
  return { tee, subscription: new Subscription<number>("numbers", reader) };
}

async function drain<Chunk>(stream: ReadableStream<Chunk>): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
