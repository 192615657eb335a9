/** What becomes of an id, wherever the log is by then: recovered, or told as a gap. */

import { assert, assertEquals } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { eventStream } from "../../../core/sse/mod.ts";
import { Broadcast, type Gap } from "../../../mod.ts";
import { take } from "../../conformance/harness.ts";

interface Row {
  readonly title: string;
  /** How many events the log keeps, and how many are published. */
  readonly keeps: number;
  readonly published: number;
  /** The number of the event that was seen last; 0 for none. */
  readonly seen: number;
  /** Which gap is told, without its id. */
  readonly gap?: Omit<Gap, "after">;
  /** The number of the first event that arrives; none if it is at the head. */
  readonly first?: number;
}

const MATRIX: Row[] = [
  { title: "an empty log, from its beginning", keeps: 10, published: 0, seen: 0 },
  {
    title: "from the beginning, with all of it stored",
    keeps: 10,
    published: 4,
    seen: 0,
    first: 1,
  },
  { title: "in the middle", keeps: 10, published: 10, seen: 8, first: 9 },
  { title: "at the head", keeps: 10, published: 10, seen: 10 },
  { title: "at the head of a log that was trimmed", keeps: 10, published: 20, seen: 20 },
  { title: "the oldest that is stored", keeps: 10, published: 20, seen: 11, first: 12 },
  {
    title: "one before the oldest: it missed nothing",
    keeps: 10,
    published: 20,
    seen: 10,
    first: 11,
  },
  {
    title: "two before the oldest",
    keeps: 10,
    published: 20,
    seen: 9,
    gap: { cause: "trimmed", missed: 1 },
    first: 11,
  },
  {
    title: "trimmed long ago",
    keeps: 10,
    published: 20,
    seen: 3,
    gap: { cause: "trimmed", missed: 7 },
    first: 11,
  },
  {
    title: "from the beginning, and trimmed since",
    keeps: 10,
    published: 20,
    seen: 0,
    gap: { cause: "trimmed", missed: 10 },
    first: 11,
  },
  {
    title: "one ahead of the head",
    keeps: 10,
    published: 10,
    seen: 11,
    gap: { cause: "rollback" },
    first: 1,
  },
  {
    title: "far ahead of the head",
    keeps: 10,
    published: 20,
    seen: 108,
    gap: { cause: "rollback" },
    first: 11,
  },
];

for (const { title, keeps, published, seen, gap, first } of MATRIX) {
  for (const tail of ["open", "closed"] as const) {
    Deno.test(`an id, the tail being ${tail}: ${title}`, async () => {
      await using broadcast = new Broadcast(`memory://?history=${keeps}&linger=0&buffer=4`);
      const beginning = await openingId(broadcast);
      const live = tail === "open" ? await broadcast.subscribe("c") : undefined;
      const ids = [beginning];
      for (let number = 1; number <= published; number++) {
        ids.push((await broadcast.publish("c", `${number}`))!);
      }
      // The ring has moved on, too.
      if (live && published > 0) await take(live, published);
      // Of an event that does not exist yet.
      const after = ids[seen] ?? beginning.replace(/~0_/, `~${seen.toString(36)}_`);
      const told: Gap[] = [];
      const resumed = await broadcast.subscribe("c", { after, onGap: (gap) => told.push(gap) });
      const expected = Array.from(
        { length: first === undefined ? 0 : published - first + 1 },
        (_, index) => `${first! + index}`,
      );
      const reading = take(resumed, expected.length + 1);
      await broadcast.history("c", { limit: 1 });
      await broadcast.publish("c", "live");
      const events = await reading;
      assertEquals(events.map(({ message }) => message), [...expected, "live"]);
      assertEquals(told, gap ? [{ after, ...gap }] : []);
      assertEquals(events[0]!.gap, told[0]);
      live?.close();
    });
  }
}

Deno.test("an id of another process, whose log is gone, is a gap, and then all there is", async () => {
  await using before = new Broadcast("memory://");
  await using after = new Broadcast("memory://");
  await before.publish("c", "lost");
  const id = (await before.publish("c", "seen"))!;
  await after.publish("c", "new");
  const [event] = await take(await after.subscribe("c", { after: id }), 1);
  assertEquals([event!.message, event!.gap], ["new", { cause: "reset", after: id }]);
});

Deno.test("a beginning of another process is a gap, too: something may have come after it", async () => {
  await using before = new Broadcast("memory://");
  await using after = new Broadcast("memory://");
  const id = await openingId(before);
  await after.publish("c", "new");
  const [event] = await take(await after.subscribe("c", { after: id }), 1);
  assertEquals([event!.message, event!.gap], ["new", { cause: "reset", after: id }]);
});

for (const subscribers of [10, 1_000]) {
  Deno.test(`${subscribers} who resume at once read the log once`, async () => {
    const { backend, count } = counted(5_000);
    await using broadcast = new Broadcast(backend, { buffer: 16 });
    const ids = await Promise.all(
      Array.from({ length: 5_000 }, (_, number) => broadcast.publish("c", `${number}`)),
    );
    const readers = await Promise.all(
      Array.from({ length: subscribers }, () => broadcast.subscribe("c", { after: ids[0]! })),
    );
    const last = await Promise.all(
      readers.map(async (reader) => (await take(reader, 4_999)).at(-1)),
    );
    for (const event of last) assertEquals(event!.message, "4999");
    // Pages of 64, 256, and then 1,024 events, and one at the head.
    assert(count.reads <= 10, `${count.reads} reads`);
  });
}

/** A log, and how often it was read. */
function counted(history: number) {
  const backend = new MemoryBackend(history);
  const { read } = backend;
  const count = { reads: 0 };
  Object.assign(backend, {
    read: (...parameters: Parameters<NonNullable<typeof read>>) => {
      count.reads++;
      return read!(...parameters);
    },
  });
  return { backend, count };
}

/** The id that stands for nothing seen yet, as an event stream opens with it. */
async function openingId(broadcast: Broadcast): Promise<string> {
  const reader = eventStream(await broadcast.subscribe("c")).getReader();
  const opening = new TextDecoder().decode((await reader.read()).value);
  await reader.cancel();
  return /^id: (\S+)$/m.exec(opening)![1]!;
}
