/** One run: a world, three processes, a plan that is carried out, and the verdict. */

import { setTimeout as pause } from "node:timers/promises";
import {
  type Grant,
  type History,
  type Item,
  type Outcome,
  type Page,
  partsOf,
  type Violation,
} from "./history.ts";
import { type Handed, Nemesis } from "./nemesis.ts";
import { type NodeApp, Participant, type Report } from "./participant.ts";
import { CHANNELS, type Plan, planOf, type Role, ROLES, SUBSCRIBERS } from "./plan.ts";
import { gapsOf, reconcile } from "./reconcile.ts";
import type { Kind, World } from "./worlds.ts";

/** What a run was like. */
export interface Verdict {
  readonly plan: Plan;
  readonly violations: readonly Violation[];
  readonly counts: Readonly<Record<"confirmed" | "unknown" | "rejected", number>>;
  /** How many of those that were rejected were refused by the broker, and what it said last. */
  readonly refused: { readonly count: number; readonly reason?: string | undefined };
  /** How many events all readers got together. */
  readonly delivered: number;
  /** How many gaps they were told of. */
  readonly gaps: number;
  /** How many confirmed messages were lost as the documents say they may be. */
  readonly granted: number;
  /** How long the last reader took to be well again, in milliseconds. */
  readonly settled: number;
  readonly trace: readonly string[];
}

/** How long a process may take to connect and subscribe. */
const STARTING = 60_000;
/** How long the outcomes of all messages are waited for. */
const SETTLING = 40_000;
/** How often a mark is published. */
const MARKING = 1_000;
/** What a process may take to end once it has disconnected. */
const EXIT = 5_000;
/** `disconnect()` waits ten seconds for what was accepted, and may need a moment besides. */
const DISCONNECT = 12_000;
/** What the heap may have grown: a leak of events is more than this. */
const HEAP = 32 * 2 ** 20;

/** Carries a run out. */
export async function chaos(
  kind: Kind,
  seed: number,
  seconds: number,
  app: NodeApp,
): Promise<Verdict> {
  const plan = planOf(kind.name, seed, seconds, kind.limits);
  await using world = await kind.start();
  return await new Run(kind, plan, world, app).carryOut();
}

class Run {
  readonly #kind: Kind;
  readonly #plan: Plan;
  readonly #world: World;
  readonly #participants = new Map<Role, Participant>();
  readonly #trace: string[] = [];
  readonly #outcomes: Outcome[] = [];
  readonly #logs = new Map<string, string[]>();
  readonly #logIds = new Map<string, string[]>();
  readonly #pages: Page[] = [];
  /** What each reader learns, by process and reader. */
  readonly #items = new Map<string, Item[]>();
  /** When each reader had its first mark, and the number of its last one. */
  readonly #settled = new Map<string, number>();
  readonly #marks = new Map<string, number>();
  /** The newest ids, by process and channel. */
  readonly #ids = new Map<string, Handed>();
  readonly #since = performance.now();

  constructor(kind: Kind, plan: Plan, world: World, app: NodeApp) {
    this.#kind = kind;
    this.#plan = plan;
    this.#world = world;
    for (const role of ROLES) {
      const own = role === plan.onNode ? app : undefined;
      const participant = new Participant(
        role,
        `chaos/${role === "publisher" ? "publisher" : "subscriber"}.mjs`,
        this.#configOf(role),
        own,
        (report) => this.#hear(report, role),
      );
      this.#participants.set(role, participant);
    }
    for (const role of SUBSCRIBERS) {
      for (const channel of CHANNELS) {
        for (const reader of ["fast", "slow", "leaver"]) {
          this.#items.set(`${role} ${channel} ${reader}`, []);
        }
      }
    }
  }

  async carryOut(): Promise<Verdict> {
    try {
      return await this.#carryOut();
    } finally {
      for (const participant of this.#all) participant.kill();
    }
  }

  async #carryOut(): Promise<Verdict> {
    const publisher = this.#participants.get("publisher")!;
    // Who is ready is confirmed: from then on all that is published is theirs.
    const ready = await Promise.all(
      this.#all.map((participant) => participant.ask("ready", "ready", STARTING)),
    );
    const nemesis = new Nemesis(
      this.#world,
      this.#participants,
      (whose, channel) => this.#ids.get(`${whose} ${channel}`),
    );
    if (ready.every(Boolean)) {
      publisher.order("start");
      await nemesis.carryOut(
        this.#plan,
        (incident) => this.#note("incident", JSON.stringify(incident)),
      );
      await this.#settle(publisher);
    }
    await publisher.ask("read", "read", SETTLING + STARTING);
    await Promise.all(this.#all.map((participant) => participant.leave(SETTLING)));
    return this.#verdict(nemesis);
  }

  get #all(): Participant[] {
    return [...this.#participants.values()];
  }

  /** Nothing is wrong any more: every reader gets a mark, and then one behind all messages. */
  async #settle(publisher: Participant): Promise<void> {
    const since = this.#now();
    this.#note("calm", "");
    for (const role of SUBSCRIBERS) this.#participants.get(role)!.order("hurry");
    const quiet = publisher.ask("stop", "quiet", SETTLING);
    const hasAll = (least: number) =>
      [...this.#items.keys()]
        .every((reader) => (this.#marks.get(reader) ?? 0) >= least);
    const bound = this.#kind.settling * 1_000;
    await this.#mark(publisher, () => hasAll(1), bound);
    for (const [reader, at] of this.#settled) this.#settled.set(reader, at - since);
    await quiet;
    const behind = Math.max(0, ...this.#outcomes.map(({ m }) => markOf(m))) + CHANNELS.length + 1;
    await this.#mark(publisher, () => hasAll(behind), bound);
  }

  async #mark(publisher: Participant, isDone: () => boolean, bound: number): Promise<void> {
    const end = performance.now() + bound;
    for (let next = 0; !isDone() && performance.now() < end;) {
      if (performance.now() >= next) {
        publisher.order("mark");
        next = performance.now() + MARKING;
      }
      await pause(20);
    }
  }

  #configOf(role: Role): object {
    const url = this.#world.urlOf(role);
    const parameters = new URLSearchParams(this.#plan.parameters);
    const { log, keys } = this.#kind;
    return {
      url: `${url}${/[?&]$/.test(url) ? "" : "&"}${parameters}`,
      channels: CHANNELS,
      log,
      keys,
      slowness: this.#plan.slowness,
      run: `${this.#plan.scheme} ${this.#plan.seed}`,
    };
  }

  #hear(report: Report, role: Role): void {
    const { t } = report;
    this.#note(role, JSON.stringify(report));
    if (t === "outcome") {
      const outcome = report as unknown as Outcome;
      this.#outcomes.push(outcome);
      if (outcome.id !== undefined) {
        this.#ids.set(`publisher ${outcome.c}`, { id: outcome.id, m: outcome.m });
      }
    } else if (t === "log") {
      this.#logs.set(String(report.c), report.messages as string[]);
      this.#logIds.set(String(report.c), report.ids as string[]);
    } else if (t === "page") {
      const { c, limit, messages } = report;
      const page = { process: role, channel: String(c), limit: Number(limit) };
      this.#pages.push({ ...page, messages: messages as string[] });
    } else if (typeof report.r === "string") {
      const reader = `${role} ${report.r}`;
      this.#items.get(reader)?.push(report as unknown as Item);
      if (t === "event") this.#hearEvent(report, role, reader);
    }
  }

  #hearEvent({ r, m, id }: Report, role: Role, reader: string): void {
    const [channel, kind] = String(r).split(" ");
    if (kind === "fast") this.#ids.set(`${role} ${channel}`, { id: String(id), m: String(m) });
    const mark = markOf(String(m));
    if (mark === 0) return;
    if (!this.#settled.has(reader)) this.#settled.set(reader, this.#now());
    this.#marks.set(reader, mark);
  }

  #verdict(nemesis: Nemesis): Verdict {
    const { log, total, drops, keys, late, settling } = this.#kind;
    const readers = [...this.#items].map(([name, items]) => {
      const [process, channel, kind] = name.split(" ") as [string, string, string];
      return { process, channel, kind, items, settled: this.#settled.get(name) };
    });
    const history: History = {
      log,
      total,
      drops: drops !== undefined,
      // Bytes of a lost connection may arrive after those of the next one.
      late: late !== undefined || !keys,
      outcomes: this.#outcomes,
      readers,
      logs: this.#logs,
      ...this.#kind.forgets && { ids: this.#logIds },
      pages: this.#pages,
      processes: this.#all.map((participant) => participant.history),
      grants: this.#grants(nemesis),
      bounds: { settling: settling * 1_000, disconnect: DISCONNECT, exit: EXIT, heap: HEAP },
    };
    const violations = reconcile(history);
    const count = (kind: Outcome["kind"]) =>
      this.#outcomes.filter((outcome) => outcome.kind === kind).length;
    const refused = this.#outcomes.filter(({ error }) => error?.startsWith("RefusedError"));
    const stored = new Set([...this.#logs.values()].flat());
    return {
      plan: this.#plan,
      violations,
      counts: {
        confirmed: count("confirmed"),
        unknown: count("unknown"),
        rejected: count("rejected"),
      },
      refused: { count: refused.length, reason: refused.at(-1)?.error },
      delivered: readers.flatMap(({ items }) => items).filter(({ t }) => t === "event").length,
      gaps: readers.reduce((sum, reader) => sum + gapsOf(reader), 0),
      granted: log
        ? this.#outcomes.filter(({ m, kind }) => kind === "confirmed" && !stored.has(m)).length
        : 0,
      settled: Math.round(Math.max(0, ...this.#settled.values())),
      trace: this.#trace,
    };
  }

  #grants({ suffered }: Nemesis): Grant[] {
    const { forgets } = this.#kind;
    if (!forgets) return [];
    const { seconds, reason } = forgets;
    return suffered.map(({ from, to }) => ({
      from: from - 1_000,
      to: to + seconds * 1_000,
      reason,
    }));
  }

  #now(): number {
    return performance.now() - this.#since;
  }

  #note(who: string, what: string): void {
    this.#trace.push(`${(this.#now() / 1_000).toFixed(3).padStart(8)} ${who.padEnd(9)} ${what}`);
  }
}

/** The number of a mark; 0 if it is none. */
function markOf(m: string): number {
  const { publisher, number } = partsOf(m);
  return publisher.startsWith("z") ? number : 0;
}
