import { assert, assertEquals } from "@std/assert";
import { type Lingerer, Lingering } from "../../../core/fanout/lingering.ts";
import { Pace } from "../../../core/util/pace.ts";
import { turn } from "../../../core/util/timer.ts";
import { Broadcast } from "../../../mod.ts";

const MANY = 1_000;

/** How many turns of the event loop pass until something is done. */
async function turnsOf(work: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  void work.finally(() => isDone = true);
  for (; !isDone; turns++) await turn();
  return turns;
}

Deno.test("what enters a pace begins in order, a part of it in each turn", async () => {
  const pace = new Pace();
  const begun: number[] = [];
  const all = Promise.all(
    Array.from({ length: MANY }, async (_, number) => {
      await pace.enter();
      begun.push(number);
    }),
  );
  assert(await turnsOf(all) > 10);
  assertEquals(begun, Array.from({ length: MANY }, (_, number) => number));
});

Deno.test("a pace lets one after the other begin at once", () => {
  const pace = new Pace();
  assertEquals(pace.enter(), undefined);
  assertEquals(pace.enter(), undefined);
});

Deno.test("many channels that are opened and closed at once let the event loop turn", async () => {
  const broadcast = new Broadcast("memory://");
  const names = Array.from({ length: MANY }, (_, number) => `channel-${number}`);
  const opening = Promise.all(names.map((name) => broadcast.subscribe(name)));
  assert(await turnsOf(opening) > 10);
  const subscriptions = await opening;
  assert(await turnsOf(broadcast.disconnect()) > 10);
  for (const subscription of subscriptions) {
    assertEquals(await subscription[Symbol.asyncIterator]().next(), {
      value: undefined,
      done: true,
    });
  }
});

for (const time of [0, 1]) {
  Deno.test(`channels that linger for ${time} ms close at a pace, but for those that are read again`, async () => {
    const lingering = new Lingering(time, new Pace());
    const stopped = new Set<Lingerer>();
    const all = Array.from({ length: MANY }, () => {
      const channel = {
        stop(): void {
          lingering.delete(channel);
          stopped.add(channel);
        },
      };
      return channel;
    });
    for (const channel of all) lingering.add(channel);
    const [last, again] = [all.at(-1)!, all.at(-2)!];
    lingering.delete(last);
    lingering.delete(again);
    lingering.add(again);
    let most = 0;
    for (let before = stopped.size; stopped.size < MANY - 1; before = stopped.size) {
      await turn();
      most = Math.max(most, stopped.size - before);
    }
    assert(most < MANY / 10, `${most} in a turn`);
    await turn();
    assertEquals([stopped.has(last), stopped.has(again)], [false, true]);
  });
}
