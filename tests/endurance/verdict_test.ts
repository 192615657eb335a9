/** Whether the verdicts find what must not be: made-up figures, each with one thing wrong. */

import { assertEquals } from "@std/assert";
import { judgeSoak, judgeStorm, type Possessions } from "./verdict.ts";

function rounds(...lives: number[]) {
  return lives.map((live) => ({ live, computed: 20, wall: 400 }));
}

const POSSESSIONS: Possessions = {
  heap: 20_000_000,
  sockets: 2,
  timers: 1,
  listeners: 3,
  broker: { channels: 0, clients: 2 },
};

function left(more: Partial<Possessions>): string[] {
  return judgeSoak(POSSESSIONS, { ...POSSESSIONS, ...more });
}

Deno.test("A storm is passed in twice the time of the bare client, and one slow round is no verdict", () => {
  assertEquals(judgeStorm(rounds(200, 900, 190), rounds(100, 100, 100)), []);
});

Deno.test("A storm that takes more than twice the time of the bare client fails", () => {
  assertEquals(judgeStorm(rounds(300, 201, 190), rounds(100, 100, 10)), [
    "all were live after 201 ms, which is more than 200 ms",
  ]);
});

Deno.test("A storm fails by one block of the event loop, and other processes cause none", () => {
  const ours = [...rounds(100, 100), { live: 100, computed: 101, wall: 101 }];
  assertEquals(judgeStorm(ours, rounds(100)), ["the event loop was blocked for 101 ms"]);
});

Deno.test("A soak that ends where it began is passed, also with less, and with 5 % more heap", () => {
  assertEquals(left({}), []);
  assertEquals(left({ heap: 21_000_000, timers: 0, broker: { channels: 0, clients: 1 } }), []);
});

Deno.test("A soak fails by more heap, and by any socket, timer, listener or subscription more", () => {
  assertEquals(left({ heap: 21_200_000 }), ["the heap has grown by 6.0 %"]);
  assertEquals(left({ sockets: 3 }), ["2 sockets have become 3"]);
  assertEquals(left({ timers: 2, listeners: 4 }), [
    "1 timers have become 2",
    "3 listeners have become 4",
  ]);
  assertEquals(left({ broker: { channels: 1, clients: 2 } }), [
    "0 channels at the broker have become 1",
  ]);
});
