/** What is missing while a link is cut is told, or it is not. */

import { assertEquals } from "@std/assert";
import { account } from "./cuts.mjs";

const TOLD = undefined;

Deno.test("all that was delivered is whole", () => {
  assertEquals(account([5, 6, 7, 8, 9], 5, 8), {
    ...{ delivered: 100, told: 0, silent: 0, twice: 0, gaps: 0 },
  });
});

Deno.test("a hole is told if the subscriber heard of it between its neighbours", () => {
  assertEquals(account([1, TOLD, 4, 8, 9], 1, 8), {
    ...{ delivered: 37.5, told: 25, silent: 37.5, twice: 0, gaps: 1 },
  });
});

Deno.test("what is missing at the end counts, and what comes after it shows that it is over", () => {
  assertEquals(account([1, 2, 7], 1, 4), {
    ...{ delivered: 50, told: 0, silent: 50, twice: 0, gaps: 0 },
  });
  assertEquals(account([1, 2, TOLD, 7], 1, 4).told, 50);
});

Deno.test("what comes twice, or late, is not missing", () => {
  assertEquals(account([1, 3, 2, 3, 4, 5], 1, 4), {
    ...{ delivered: 100, told: 0, silent: 0, twice: 1, gaps: 0 },
  });
});
