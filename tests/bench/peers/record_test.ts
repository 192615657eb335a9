/** What runs brought is kept, replaced row by row, and compared. */

import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { comparisonOf, growthOf, load, merged, resultsOf, save, worse } from "./record.ts";
import { ROWS } from "./rows.ts";
import { RUN, sampleOf } from "./sample.ts";

const EVERYTHING = sampleOf();
const LATER = { ...RUN, date: "2026-02-03T04:05:06.000Z" };
const SINGLE = ROWS.find(({ name }) => name === "redis-single-1")!;

Deno.test("a run replaces the rows that it raced, and no others", () => {
  const after = merged(EVERYTHING, sampleOf([SINGLE], LATER));
  const dates = new Map(after.results.map(({ row, date }) => [row, date]));
  assertEquals(dates.size, new Set(EVERYTHING.results.map(({ row }) => row)).size);
  assertEquals([...dates].filter(([, date]) => date === LATER.date), [[SINGLE.name, LATER.date]]);
  assertEquals(after.runs, [RUN, LATER]);
});

Deno.test("a run goes with the last of its rows", () => {
  const { runs, results } = merged(sampleOf([SINGLE]), sampleOf([SINGLE], LATER));
  assertEquals(runs, [LATER]);
  assertEquals(results.map(({ date }) => date), [LATER.date]);
});

Deno.test("what a row that grows no longer has is gone once it is raced again", () => {
  const row = { ...SINGLE, name: "growing", growth: { of: "channels", counts: [1, 10] } };
  const fewer = { ...row, growth: { of: "channels", counts: [1] } };
  const { results } = merged(sampleOf([row]), sampleOf([fewer], LATER));
  assertEquals(results.map(({ id }) => id), ["growing/1"]);
});

Deno.test("a record that was saved is loaded as it was, with a line for each result", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "results.json");
  try {
    await save(path, EVERYTHING);
    assertEquals(await load(path), EVERYTHING);
    const lines = (await Deno.readTextFile(path)).split("\n");
    const first = JSON.stringify(EVERYTHING.results[0]);
    assert(lines.includes(`${first},`), `no line is ${first}`);
    await Deno.writeTextFile(path, "{");
    await assertRejects(() => load(path), Error, `Cannot read the record ${path}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a contender that brings no figure of a measure is not part of its result", () => {
  const [ours, bare] = [{ name: "a", kind: "ours" }, { name: "b", kind: "bare" }] as const;
  const measures = [{ name: "speed", unit: "/s" }, { name: "memory", unit: "bytes" }];
  const row = { ...SINGLE, name: "row", title: "Row", measures };
  const figures = [[{ speed: 1.23456, memory: 2 }], [{ speed: 3 }]];
  const results = resultsOf(row, RUN.date, [ours, bare], figures, 10);
  assertEquals(results.map(({ id, contenders }) => [id, contenders.map(({ rounds }) => rounds)]), [
    ["row/speed/10", [[1.235], [3]]],
    ["row/memory/10", [[2]]],
  ]);
});

Deno.test("a table of what grows has an empty cell where a contender did not take part", () => {
  const contenders = [SINGLE.contenders[0]!, { ...SINGLE.contenders[1]!, most: 1 }];
  const growth = { of: "channels", counts: [1, 1_000] };
  const { results } = sampleOf([{ ...SINGLE, growth, contenders }]);
  assertEquals(growthOf(results), [
    ["", "redis://", "graphql-redis-subscriptions"],
    ["1", "101 (100–102)", "50.5 (50.0–51.0)"],
    ["1,000", "101 (100–102)", ""],
  ]);
});

Deno.test("a comparison tells what became slower by more than its spread", () => {
  const slow = sampleOf([SINGLE], LATER);
  const results = slow.results.map((result) => ({
    ...result,
    contenders: result.contenders.map((contender, index) =>
      index === 0 ? { ...contender, rounds: [50, 51, 52] } : contender
    ),
  }));
  assertEquals(worse(EVERYTHING, { ...slow, results }), 1);
  assertEquals(worse(EVERYTHING, slow), 0);
  assertEquals(comparisonOf(EVERYTHING, { ...slow, results })[1], [
    "redis-single-1",
    "redis://",
    "101 (100–102)",
    "51.0 (50.0–52.0)",
    "0.50×",
    "SLOWER by more than its spread",
  ]);
});
