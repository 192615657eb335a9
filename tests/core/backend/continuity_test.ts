/** The table that makes gaps of facts, row by row. */

import { assertEquals } from "@std/assert";
import { gapOf, positionAfter, withoutRepeatedBreaks } from "../../../core/backend/continuity.ts";
import type { Item, LogBreak } from "../../../core/backend/contract.ts";
import { type Place, Position } from "../../../core/backend/position.ts";

const AT = place(5);

const ROWS: readonly [what: string, facts: Partial<LogBreak>, gap: ReturnType<typeof gapOf>][] = [
  ["a log that was recreated", { recreated: true, head: place(9), removed: 3 }, {
    cause: "reset",
  }],
  ["a log that was recreated, and is as long", { recreated: true, head: AT, removed: "none" }, {
    cause: "reset",
  }],
  ["another record at the place, in a log without a name", { replaced: true, removed: "none" }, {
    cause: "reset",
  }],
  [
    "another record at the place, in the same log",
    { replaced: true, recreated: false, removed: "none" },
    { cause: "rollback" },
  ],
  ["a log that ends before the place", { head: place(4), removed: "none" }, { cause: "rollback" }],
  ["a log that is empty", { head: place(-1), removed: "unknown" }, { cause: "rollback" }],
  ["the record was the newest, and was removed", { head: AT, removed: "unknown" }, undefined],
  ["later records, none of them removed", { head: place(9), removed: "none" }, undefined],
  ["later records, 0 of them removed", { removed: 0 }, undefined],
  ["so many were removed", { head: place(9), removed: 3 }, { cause: "trimmed", missed: 3 }],
  ["so many were removed, of a log whose end is not known", { removed: 2 }, {
    cause: "trimmed",
    missed: 2,
  }],
  ["some were removed", { head: place(9), removed: "some" }, { cause: "trimmed" }],
  ["whether some were removed is not known", { removed: "unknown" }, { cause: "trimmed" }],
];

for (const [what, facts, gap] of ROWS) {
  Deno.test(`${what}: ${gap ? `a gap, ${gap.cause}` : "no gap"}`, () => {
    assertEquals(gapOf({ kind: "break", removed: "unknown", ...facts }, AT), gap);
  });
}

Deno.test("who has seen nothing of a shard misses what was removed from its start", () => {
  const found: LogBreak = { kind: "break", head: place(9), removed: 4 };
  assertEquals(gapOf(found, undefined), { cause: "trimmed", missed: 4 });
  assertEquals(gapOf({ ...found, removed: "none" }, undefined), undefined);
});

Deno.test("a shard that cannot be compared starts over, and so do all of a recreated log", () => {
  const position = Position.of(place(5), place(7, 1));
  const after = (facts: Partial<LogBreak>) =>
    String(positionAfter(position, { kind: "break", removed: "unknown", ...facts }));
  assertEquals(after({ shard: 1, replaced: true }), String(Position.of(place(5))));
  assertEquals(after({ shard: 1, recreated: true }), "");
  assertEquals(after({ shard: 1, head: place(9, 1) }), String(position));
});

function place(at: number, shard = 0): Place {
  return { shard, at, sub: 0, fingerprint: "f" };
}

Deno.test("the shards of a recreated log report one break together", () => {
  const recreated = (shard: number): Item => ({
    kind: "break",
    shard,
    recreated: true,
    removed: "unknown",
  });
  const skip: Item = { kind: "skip", place: { shard: 1, at: 2, sub: 0, fingerprint: "" } };
  const record: Item = {
    kind: "record",
    payload: "x",
    place: { shard: 0, at: 1, sub: 0, fingerprint: "" },
  };
  const trimmed: Item = { kind: "break", shard: 2, removed: 3 };
  assertEquals(
    withoutRepeatedBreaks([recreated(0), recreated(1), skip, recreated(2), record, recreated(0)]),
    [recreated(0), skip, record, recreated(0)],
  );
  assertEquals(withoutRepeatedBreaks([trimmed, trimmed]), [trimmed, trimmed]);
});
