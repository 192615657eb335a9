import { assertEquals } from "@std/assert";
import { Gate } from "../../../core/backend/kit/gate.ts";
import { deferred, turn } from "../../../core/util/timer.ts";

Deno.test("requests beyond the width of a gate begin in their order, also after one that fails", async () => {
  const gate = new Gate(2);
  const begun: number[] = [];
  const answers = [0, 1, 2, 3].map(() => deferred());
  const passed = answers.map(({ promise }, number) =>
    gate.pass(async () => {
      begun.push(number);
      await promise;
      if (number === 1) throw new Error("refused");
      return number;
    }).catch(({ message }) => message)
  );
  await turn();
  assertEquals(begun, [0, 1]);
  answers[1]!.resolve();
  await turn();
  assertEquals(begun, [0, 1, 2]);
  for (const { resolve } of answers) resolve();
  assertEquals(await Promise.all(passed), [0, "refused", 2, 3]);
  assertEquals(await gate.pass(() => Promise.resolve("free")), "free");
});
