/** Numbers in base 36. */

import { assertEquals } from "@std/assert";
import { base36 } from "../../../core/util/base36.ts";

Deno.test("base36() is toString(36) for all numbers up to 2^53", () => {
  const near = (number: number) => [-2, -1, 0, 1, 2].map((step) => number + step);
  const powers = Array.from({ length: 53 }, (_, power) => 2 ** power);
  const blocks = powers.map((power) => Math.ceil(power / 1296) * 1296);
  const random = Array.from({ length: 10_000 }, () => Math.floor(Math.random() * 2 ** 53));
  const numbers = [...powers, ...blocks, ...random].flatMap(near)
    .filter((number) => number >= 0 && Number.isSafeInteger(number));
  for (const number of numbers) assertEquals(base36(number), number.toString(36));
});
