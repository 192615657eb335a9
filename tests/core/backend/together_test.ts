import { assertEquals, assertRejects } from "@std/assert";
import { Together } from "../../../core/backend/kit/together.ts";
import { deferred, turn } from "../../../core/util/timer.ts";

Deno.test("names that are asked for in one turn are one request", async () => {
  const requests: (readonly string[])[] = [];
  const together = new Together((names) => Promise.resolve(requests.push(names)));
  const answers = await Promise.all(["a", "b", "a"].map((name) => together.ask(name)));
  assertEquals([answers, requests], [[1, 1, 1], [["a", "b"]]]);
});

Deno.test("names that are asked for during a request are the next one, also if it fails", async () => {
  const requests: (readonly string[])[] = [];
  const { promise: failing, resolve: fail } = deferred();
  const together = new Together(async (names) => {
    requests.push(names);
    if (requests.length > 1) return;
    await failing;
    throw new Error("no");
  });
  const first = assertRejects(() => together.ask("a"), Error, "no");
  await turn();
  await turn();
  const later = [together.ask("b")];
  await turn();
  later.push(together.ask("c"));
  await turn();
  assertEquals(requests, [["a"]]);
  fail();
  await Promise.all([first, ...later]);
  assertEquals(requests, [["a"], ["b", "c"]]);
});

Deno.test("a request has a limit of names, the rest are the next ones", async () => {
  const sizes: number[] = [];
  const together = new Together((names) => Promise.resolve(sizes.push(names.length)));
  await Promise.all(Array.from({ length: 1_100 }, (_, number) => together.ask(`${number}`)));
  assertEquals(sizes, [512, 512, 76]);
});
