/** Charts read without a table: names, figures, units and ratios stand in them. */

import { assert, assertAlmostEquals, assertEquals, assertGreater } from "@std/assert";
import { apart, chart, outcomes, PALETTES, short } from "./chart.ts";
import { draw } from "./drawing.ts";
import { chartsOf } from "./page.ts";
import type { Result } from "./record.ts";
import { RUN, sampleOf } from "./sample.ts";

const CHARTS = chartsOf(sampleOf(), PALETTES.light);

Deno.test("a figure is as short as it can be read", () => {
  const figures = [0.0213, 1.234, 9.5, 340.4, 4_321, 34_123, 2_812_345, 1_000];
  assertEquals(figures.map(short), [
    ...["0.021", "1.23", "9.5", "340", "4,321", "34.1 k", "2.81 M", "1,000"],
  ]);
});

Deno.test("labels that would overlap are moved apart, in their order and within the chart", () => {
  const medians = [1, 1.01, 1.02, 1.03, 50, 100];
  const places = apart(medians.map((median) => ({ median })), [1, 100]);
  assertEquals(places.map(({ median }) => median), medians.toReversed());
  const ys = places.map(({ place }) => -Math.log(place / 100) / Math.log(100) * 150);
  assert(ys.every((y) => y >= -1e-9 && y <= 150 + 1e-9), `${ys}`);
  for (const [index, y] of ys.slice(1).entries()) assertGreater(y - ys[index]!, 13.99);
});

for (const { name, alt, spec } of CHARTS) {
  Deno.test(`the chart "${name}" is drawn, with a title and the name of what is compared`, async () => {
    const svg = await draw(spec, alt);
    assert(svg.startsWith("<svg "), svg.slice(0, 100));
    assert(svg.includes(' width="480"') && svg.includes(' viewBox="0 0 480 '), svg.slice(0, 300));
    assert(svg.includes("<title>"), svg.slice(0, 300));
    assert(!svg.includes("NaN") && !svg.includes("undefined"), "a place or a text is missing");
    const texts = [...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text!);
    const ours = /^(memory|redis|redis-stream|postgres|nats):\/\/|^send|^event|^In process|^Import/;
    assert(texts.some((text) => ours.test(text)), texts.join("; "));
    assert(texts.some((text) => /better|parts of/.test(text)), texts.join("; "));
  });
}

Deno.test("bars name each contender, its figure, and how ours compares", async () => {
  const { spec, alt } = CHARTS.find(({ name }) => name === "websockets")!;
  const svg = await draw(spec, alt);
  for (const text of ["sendTo()", "101", "50.5 · ours 2.0×", "ws.send() (bare)", "deliveries/s"]) {
    assert(svg.includes(text), `${text} is missing`);
  }
});

Deno.test("what became of messages adds up, and each contender says what it lost", async () => {
  const parts = { delivered: [10, 60, 90], told: [90, 40, 0], silent: [0, 0, 10], gaps: [1, 2, 0] };
  const result: Result = {
    ...{ id: "cuts", row: "cuts", title: "Cuts", unit: "%", date: RUN.date, contenders: [] },
  };
  const results = Object.entries(parts).map(([name, rounds]): Result => ({
    ...result,
    name,
    contenders: [{ name: "redis://", kind: "ours", rounds }],
  }));
  const svg = await draw(chart([outcomes(results, "Cuts", PALETTES.light)], PALETTES.light), "");
  assert(svg.includes(">53.3 %, 3.3 % not reported<"), svg);
  const ends = [...svg.matchAll(/<path d="M([\d.]+),[\d.]+h([\d.]+)v12/g)]
    .map(([, start, width]) => Number(start) + Number(width));
  assertEquals(ends.length, 3);
  assertAlmostEquals(ends.at(-1)!, 310, 0.01);
});
