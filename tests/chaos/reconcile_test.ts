/** Whether the verdict finds what must not be: for each violation a history that has it. */

import { assertEquals } from "@std/assert";
import type { History, Item, Outcome, ProcessHistory, ReaderHistory } from "./history.ts";
import { describe, planOf } from "./plan.ts";
import { gapsOf, reconcile } from "./reconcile.ts";

const MISSED = { cause: "overflow", missed: 2 };
const DISCONNECT = { cause: "disconnect" };

/** What was published: numbers of `a1`, each confirmed unless it is said; and the mark. */
function published(count: number, kinds: Record<number, Outcome["kind"]> = {}): Outcome[] {
  const outcomes = Array.from({ length: count }, (_, index): Outcome => {
    const kind = kinds[index + 1] ?? "confirmed";
    const error = kind === "rejected" ? { error: "ConnectionError: not sent" } : {};
    return {
      m: `a1 ${index + 1}`,
      c: "one",
      kind,
      from: 1_000 + index,
      to: 1_010 + index,
      ...error,
    };
  });
  return [...outcomes, { m: "z1 1", c: "one", kind: "confirmed", from: 9_000, to: 9_001 }];
}

/** An event of `a1`, or of whom the text names. */
function event(m: number | string, gap?: { cause: string; missed?: number }): Item {
  const name = typeof m === "number" ? `a1 ${m}` : m;
  return { t: "event", m: name, id: `id-${name.replace(" ", "-")}`, ...gap && { gap } };
}

const OPEN: Item = { t: "open" };
const MARK = event("z1 1");

function reader(items: Item[], more: Partial<ReaderHistory> = {}): ReaderHistory {
  return { process: "first", channel: "one", kind: "fast", items, settled: 100, ...more };
}

const PROCESS: ProcessHistory = {
  name: "first",
  unhandled: [],
  broken: [],
  unreadable: [],
  stderr: "",
  disconnects: [100],
  heap: { before: 1_000_000, after: 2_000_000 },
  ended: 50,
  code: 0,
};

function history(more: Partial<History>): History {
  return {
    log: true,
    total: true,
    drops: false,
    late: false,
    outcomes: published(5),
    readers: [reader([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK])],
    logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "a1 5", "z1 1"]]]),
    pages: [],
    processes: [PROCESS],
    grants: [],
    bounds: { settling: 15_000, disconnect: 10_000, exit: 5_000, heap: 32 * 2 ** 20 },
    ...more,
  };
}

/** A history without a log. */
function live(items: Item[], more: Partial<History> = {}): History {
  return history({ log: false, logs: new Map(), readers: [reader(items)], ...more });
}

/** A history of a log, of one reader. */
function logged(items: Item[], more: Partial<History> = {}): History {
  return history({ readers: [reader(items)], ...more });
}

/** The kinds of what is wrong. */
function kinds(history: History): string[] {
  return reconcile(history).map(({ kind }) => kind);
}

const FOUND: [what: string, history: History, kinds: string[]][] = [
  [
    "a log that has lost what was confirmed",
    history({
      logs: new Map([["one", ["a1 1", "a1 2", "a1 4", "a1 5", "z1 1"]]]),
      readers: [reader([OPEN, event(1), event(2), event(4), event(5), MARK])],
    }),
    ["lost"],
  ],
  [
    "a log that has something twice",
    history({
      logs: new Map([["one", ["a1 1", "a1 2", "a1 2", "a1 3", "a1 4", "a1 5", "z1 1"]]]),
      readers: [],
    }),
    ["twice"],
  ],
  [
    "a log in another order than it was published",
    history({
      logs: new Map([["one", ["a1 1", "a1 3", "a1 2", "a1 4", "a1 5", "z1 1"]]]),
      readers: [],
    }),
    ["disorder"],
  ],
  [
    "a confirmed message that is stored late, where only those with unknown outcomes may be",
    history({
      late: true,
      outcomes: published(5, { 3: "unknown" }),
      logs: new Map([["one", ["a1 1", "a1 4", "a1 2", "a1 3", "a1 5", "z1 1"]]]),
      readers: [],
    }),
    ["disorder"],
  ],
  [
    "a log that has what was rejected",
    history({
      outcomes: published(5, { 3: "rejected" }),
      readers: [],
    }),
    ["rejected, and there"],
  ],
  ["a log that could not be read", history({ logs: new Map() }), ["process"]],
  [
    "a log's reader who missed something, unsaid",
    logged([OPEN, event(1), event(2), event(4), event(5), MARK]),
    ["lost"],
  ],
  ["a log's reader who missed the end", logged([OPEN, event(1), event(2)]), ["lost"]],
  [
    "a log's reader who missed the beginning",
    logged([OPEN, event(3), event(4), event(5), MARK]),
    ["lost"],
  ],
  [
    "a log's reader who was told too few",
    logged([OPEN, event(1), event(5, MISSED), MARK]),
    ["missed"],
  ],
  [
    "a log's reader who got something twice",
    logged([OPEN, event(1), event(2), event(2), event(3), event(4), event(5), MARK]),
    ["twice"],
  ],
  [
    "a log's reader who resumed and got what it had",
    logged([
      ...[OPEN, event(1), event(2), { t: "close" } as const],
      { t: "open", after: { m: "a1 2", isOwn: true } },
      ...[event(2), event(3), event(4), event(5), MARK],
    ]),
    ["twice"],
  ],
  [
    "a log's reader who resumed by another's id and missed something",
    logged([
      ...[OPEN, event(1), { t: "close" } as const],
      { t: "open", after: { m: "a1 2", isOwn: false } },
      ...[event(4), event(5), MARK],
    ]),
    ["lost"],
  ],
  [
    "a log's reader who came back with history that has a hole",
    logged([
      ...[OPEN, event(1), { t: "close" } as const, { t: "open", history: 3 } as const],
      ...[event(2), event(4), event(5), MARK],
    ]),
    ["lost"],
  ],
  [
    "a page that has a hole",
    history({
      pages: [{ process: "first", channel: "one", limit: 9, messages: ["a1 2", "a1 4"] }],
    }),
    ["page"],
  ],
  [
    "a page that has too much",
    history({
      pages: [{ process: "first", channel: "one", limit: 1, messages: ["a1 2", "a1 3"] }],
    }),
    ["page"],
  ],
  [
    "a log's reader who was told a gap before it resumed by another's id, and then missed some",
    logged([
      ...[OPEN, event(1), { t: "gap", gap: DISCONNECT }, { t: "close" } as const],
      { t: "open", after: { m: "a1 1", isOwn: false } },
      ...[event(3), event(4), event(5), MARK],
    ] as Item[]),
    ["lost"],
  ],
  [
    "an event that the log does not have",
    logged([OPEN, event(1), event(2), event(3), event(4), event(5), MARK], {
      outcomes: published(5, { 5: "unknown" }),
      logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "z1 1"]]]),
    }),
    // It had seen what is gone, and learnt nothing of that either.
    ["from nowhere", "lost"],
  ],
  [
    "a reader who had seen what a failover lost, and was not told",
    logged([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK], {
      logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "z1 1"]]]),
      grants: [{ from: 0, to: 2_000, reason: "a failover" }],
    }),
    ["lost"],
  ],
  [
    "what a failover lost, and is there again under its key, unsaid",
    logged([
      ...[OPEN, event(1), event(2), { t: "event", m: "a1 3", id: "lost" } as const],
      ...[event(3), event(4), event(5), MARK],
    ], {
      ids: new Map([["one", [...[1, 2, 3, 4, 5].map((m) => `id-a1-${m}`), "id-z1-1"]]]),
      grants: [{ from: 0, to: 2_000, reason: "a failover" }],
    }),
    ["lost"],
  ],
  [
    "a log that was set back, where none may be",
    logged([
      ...[OPEN, event(1), event(2), event(3)],
      ...[event(1, { cause: "rollback" }), ...[2, 3, 4, 5].map((m) => event(m)), MARK],
    ]),
    ["twice"],
  ],
  [
    "what is lost outside of the time in which it may be",
    logged([OPEN, event(1), event(2), event(3), event(4), MARK], {
      logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "z1 1"]]]),
      grants: [{ from: 0, to: 900, reason: "a failover" }],
    }),
    ["lost"],
  ],
  ["a loss, unsaid", live([OPEN, event(1), event(2), event(4), event(5), MARK]), ["lost"]],
  [
    "a loss that is told at another place",
    live([OPEN, event(1), event(2, DISCONNECT), event(4), event(5), MARK]),
    ["lost"],
  ],
  ["a loss at the end, unsaid", live([OPEN, event(1), event(2), event(3), MARK]), ["lost", "lost"]],
  ["a loss at the beginning, unsaid", live([OPEN, event(3), event(4), event(5), MARK]), [
    "lost",
    "lost",
  ]],
  [
    "an event twice, without a log",
    live([OPEN, event(1), event(2), event(2), event(3), event(4), event(5), MARK]),
    ["twice"],
  ],
  [
    "events in another order, without a log",
    live([OPEN, event(1), event(3), event(2), event(4), event(5), MARK]),
    ["disorder"],
  ],
  [
    "fewer told than were missed, without a log",
    live([OPEN, event(1), event(5, MISSED), MARK]),
    ["missed"],
  ],
  [
    "more told than were missed, without a log",
    live([OPEN, event(1), event(3, MISSED), event(4), event(5), MARK]),
    ["missed"],
  ],
  [
    "more told than may have been sent",
    live([OPEN, event(1), event(4, MISSED), event(5), MARK], {
      outcomes: published(5, { 2: "rejected" }),
    }),
    ["missed"],
  ],
  [
    "a slow reader who was told another number than the fast one had there",
    history({
      log: false,
      outcomes: published(5, { 2: "unknown", 3: "unknown" }),
      readers: [
        reader([OPEN, event(1), event(2), event(4), event(5), MARK]),
        reader([OPEN, event(1), event(4, MISSED), event(5), MARK], { kind: "slow" }),
      ],
    }),
    ["missed"],
  ],
  [
    "two readers with two orders, where there is one",
    history({
      log: false,
      outcomes: [
        ...published(1),
        { m: "b1 1", c: "one", kind: "confirmed", from: 1_000, to: 1_001 },
      ],
      readers: [
        reader([OPEN, event(1), event("b1 1"), MARK]),
        reader([OPEN, event("b1 1"), event(1), MARK], { process: "second" }),
      ],
    }),
    ["disorder"],
  ],
  [
    "what a broker dropped between two events of one publisher, unsaid",
    live([OPEN, event(1), event(2), event(4), event(5), MARK], { drops: true }),
    ["lost"],
  ],
  [
    "what was rejected, and is delivered",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK], {
      outcomes: published(5, { 2: "rejected" }),
    }),
    ["rejected, and there"],
  ],
  [
    "what nobody has published",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), event("c1 1"), MARK]),
    ["from nowhere"],
  ],
  [
    "what was published to another channel",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), event("b1 1"), MARK], {
      outcomes: [
        ...published(5),
        { m: "b1 1", c: "two", kind: "confirmed", from: 1_000, to: 1_001 },
      ],
    }),
    ["from nowhere"],
  ],
  [
    "an event without an id",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), { ...MARK, id: undefined } as Item]),
    ["id"],
  ],
  [
    "an id that is not safe in a URL",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), { ...MARK, id: "a b" } as Item]),
    ["id"],
  ],
  [
    "a subscription that ends by itself",
    live([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK, { t: "end", error: "x" }]),
    ["ended"],
  ],
  [
    "an outcome that is never told",
    history({
      outcomes: published(5, { 5: "pending" }),
    }),
    ["outcome"],
  ],
  [
    "a publish that fails otherwise",
    history({
      outcomes: published(5, { 5: "failed" }),
    }),
    ["outcome"],
  ],
  [
    "a reader who never gets a mark",
    history({
      readers: [reader([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK], {
        settled: undefined,
      })],
    }),
    ["not settled"],
  ],
  [
    "a reader who gets it too late",
    history({
      readers: [reader([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), MARK], {
        settled: 15_001,
      })],
    }),
    ["not settled"],
  ],
  ...([
    [{ unhandled: ["Error: x"] }, "unhandled"],
    [{ broken: ["it did not read"] }, "process"],
    [{ unreadable: ["one: Error"] }, "unreadable"],
    [{ stderr: "Warning" }, "process"],
    [{ disconnects: [10, 10_001] }, "disconnect"],
    [{ heap: { before: 0, after: 33 * 2 ** 20 } }, "heap"],
    [{ heap: undefined }, "process"],
    [{ ended: undefined }, "exit"],
    [{ ended: 5_001 }, "exit"],
    [{ code: 1 }, "exit"],
  ] as [Partial<ProcessHistory>, string][]).map((
    [more, kind],
  ): [string, History, string[]] => [
    `a process that has ${JSON.stringify(more, (_, value) => value ?? "none")}`,
    history({ processes: [{ ...PROCESS, ...more }] }),
    [kind],
  ]),
];

for (const [what, history, expected] of FOUND) {
  Deno.test(`chaos finds ${what}`, () => assertEquals(kinds(history), expected));
}

const SOUND: [what: string, history: History][] = [
  ["a log that everybody reads", history({})],
  [
    "an unknown outcome, stored or not",
    history({
      outcomes: published(6, { 3: "unknown", 6: "unknown" }),
    }),
  ],
  [
    "a log's gap, told by the event, with the exact number or without one",
    history({
      readers: [
        reader([OPEN, event(1), event(4, MISSED), event(5), MARK]),
        reader([OPEN, event(1), event(4, DISCONNECT), event(5), MARK]),
      ],
    }),
  ],
  [
    "a log's gap, told by the callback",
    logged([OPEN, event(1), { t: "gap", gap: DISCONNECT }, event(4), event(5), MARK]),
  ],
  [
    "a log's reader who goes back by another's id",
    logged([
      ...[OPEN, event(1), event(2), event(3), { t: "close" } as const],
      { t: "open", after: { m: "a1 1", isOwn: false } },
      ...[event(2), event(3), event(4), event(5), MARK],
    ]),
  ],
  [
    "a reader who had seen what is lost, and resumes by the id of one who had not",
    logged([
      ...[OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), { t: "close" } as const],
      { t: "open", after: { m: "a1 4", isOwn: false } },
      MARK,
    ], {
      logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "z1 1"]]]),
      grants: [{ from: 0, to: 2_000, reason: "a failover" }],
    }),
  ],
  [
    "a reader whose id the server that was deposed does not know: told, and all comes again",
    logged([
      ...[OPEN, event(1), event(2), { t: "close" } as const],
      { t: "open", after: { m: "a1 3", isOwn: false } },
      ...[event(1, { cause: "rollback" }), ...[2, 3, 4, 5].map((m) => event(m)), MARK],
    ], { grants: [{ from: 0, to: 2_000, reason: "a failover" }] }),
  ],
  [
    "what a failover lost, and is there again under its key",
    logged([
      ...[OPEN, event(1), event(2), { t: "event", m: "a1 3", id: "lost" } as const],
      ...[event(3, { cause: "rollback" }), event(4), event(5), MARK],
    ], {
      ids: new Map([["one", [...[1, 2, 3, 4, 5].map((m) => `id-a1-${m}`), "id-z1-1"]]]),
      grants: [{ from: 0, to: 2_000, reason: "a failover" }],
    }),
  ],
  [
    "a log's reader who comes back with history, and a page",
    {
      ...logged([
        ...[OPEN, event(1), { t: "close" } as const, { t: "open", history: 3 } as const],
        ...[event(3), event(4), event(5), MARK],
      ]),
      pages: [{ process: "first", channel: "one", limit: 2, messages: ["a1 2", "a1 3"] }],
    },
  ],
  [
    "what a failover lost, told to who had seen it",
    logged([OPEN, ...[1, 2, 3, 4, 5].map((m) => event(m)), event("z1 1", { cause: "rollback" })], {
      logs: new Map([["one", ["a1 1", "a1 2", "a1 3", "a1 4", "z1 1"]]]),
      grants: [{ from: 0, to: 2_000, reason: "a failover" }],
    }),
  ],
  [
    "a loss that is told, without a log",
    live([OPEN, event(1), event(4, DISCONNECT), event(5), MARK]),
  ],
  ["the exact number, without a log", live([OPEN, event(1), event(4, MISSED), event(5), MARK])],
  [
    "a number between what was missed and what may have been sent",
    live([OPEN, event(1), event(5, MISSED), MARK], { outcomes: published(5, { 3: "unknown" }) }),
  ],
  [
    "what a broker dropped before the first event of a publisher, and behind its last",
    live([OPEN, event(2), event(3), event(4), MARK], { drops: true }),
  ],
  [
    "a message with an unknown outcome that a cluster stores late",
    history({
      late: true,
      outcomes: published(5, { 2: "unknown" }),
      logs: new Map([["one", ["a1 1", "a1 3", "a1 4", "a1 2", "a1 5", "z1 1"]]]),
      readers: [],
    }),
  ],
  [
    "a gap where nothing is missing",
    live([OPEN, event(1), ...[2, 3, 4, 5].map((m) => event(m, DISCONNECT)), MARK]),
  ],
];

for (const [what, history] of SOUND) {
  Deno.test(`chaos accepts ${what}`, () => assertEquals(reconcile(history), []));
}

Deno.test("chaos counts a gap once that is told by the callback and by the event", () => {
  const told: Item = { t: "gap", gap: DISCONNECT };
  assertEquals(gapsOf(reader([OPEN, told, event(1, DISCONNECT), event(2, DISCONNECT)])), 2);
});

Deno.test("chaos plans the same faults for the same seed, and others for another", () => {
  const limits = { serverFaults: ["kill", "pause"], servers: 3, pace: 5, away: [0, 3] } as const;
  const plan = (seed: number) => describe(planOf("redis", seed, 20, limits)).join("\n");
  assertEquals(plan(1), plan(1));
  assertEquals(plan(1) === plan(2), false);
});
