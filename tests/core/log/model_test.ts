/** A log behind the ring: who resumes, replays or falls behind loses nothing, or is told. */

import { assertEquals } from "@std/assert";
import { Random } from "../../conformance/random.ts";
import { life } from "./model.ts";

const SEEDS = 400;

Deno.test("model: subscribers of a log lose, repeat and reorder nothing", async () => {
  const given = Deno.env.get("MODEL_SEED");
  const first = Number(Deno.env.get("MODEL_FROM") ?? 1);
  const count = Number(Deno.env.get("MODEL_SEEDS") ?? SEEDS);
  const seeds = given ? [Number(given)] : Array.from({ length: count }, (_, seed) => first + seed);
  for (const seed of seeds) {
    const problems = new Set<string>();
    await life(new Random(seed), problems);
    assertEquals([...problems], [], `MODEL_SEED=${seed}`);
  }
});
