/** A soak: subscriptions are opened and closed while the wires are cut, and what is left is counted. */

import { setTimeout as pause } from "node:timers/promises";
import { type NodeApp, Participant, type Report } from "../chaos/participant.ts";
import type { Kind, World } from "../chaos/worlds.ts";
import { type Inventory, inventoryOf } from "./inventory.ts";
import { judgeSoak, type Possessions } from "./verdict.ts";

/** How often the wires are cut, in milliseconds. */
const CUTTING = 10_000;
/** What compiles and fills caches is done once this has passed, in milliseconds. */
const LONGEST_WARM_UP = 60_000;
/** How long all may take to be closed, and to be measured. */
const PATIENCE = 60_000;
/** How often it is measured again what does not end where it began yet. */
const LOOKS = 5;
/** How long a tail of the process lingers: each visit of a channel opens its tail again. */
const LINGER = "1s";
/** Brokers keep what these schemes make for each channel: they get few. */
const NAMES: Readonly<Record<string, number>> = { "amqp-stream": 10, "kafka": 20 };

/** What a soak was like. */
export interface Soak {
  readonly begin: Possessions;
  readonly end: Possessions;
  readonly counts: Inventory;
}

/** Carries a soak out; on Node if there is an app. */
export async function soak(kind: Kind, seconds: number, app: NodeApp | undefined): Promise<Soak> {
  await using world = await kind.start();
  const run = new Run(kind, world, app);
  try {
    return await run.carryOut(seconds * 1_000);
  } finally {
    run.participant.kill();
  }
}

class Run {
  readonly participant: Participant;
  readonly #kind: Kind;
  readonly #world: World;
  readonly #reports = new Map<string, Report>();

  constructor(kind: Kind, world: World, app: NodeApp | undefined) {
    this.#kind = kind;
    this.#world = world;
    const url = `${world.urlOf("first")}&linger=${LINGER}`;
    this.participant = new Participant(
      "first",
      "endurance/soak.mjs",
      { url, log: kind.log, names: NAMES[kind.name] },
      app,
      (report) => this.#reports.set(report.t, report),
    );
  }

  async carryOut(length: number): Promise<Soak> {
    await this.#ask("ready", "ready");
    await this.#churn(Math.min(length, LONGEST_WARM_UP));
    const begin = await this.#measure();
    await this.#churn(length);
    let end = await this.#measure();
    for (let looks = 1; looks < LOOKS && judgeSoak(begin, end).length > 0; looks++) {
      end = await this.#measure();
    }
    const { opened, heard, unopened } = this.#reports.get("calm")! as unknown as Inventory;
    await this.participant.leave(PATIENCE);
    this.#check();
    return { begin, end, counts: { opened: opened!, heard: heard!, unopened: unopened! } };
  }

  /** Opens and closes, with cuts, and comes to rest. */
  async #churn(length: number): Promise<void> {
    this.participant.order("start");
    for (let left = length; left > 0; left -= CUTTING) {
      await pause(Math.min(left, CUTTING));
      for (const wire of this.#wires) wire.begin({ kind: "cut" });
    }
    await this.#ask("calm", "calm");
    // The tails linger, and what ends is answered.
    await pause(3_000);
  }

  async #measure(): Promise<Possessions> {
    await this.#ask("measure", "measured");
    const { heap, timers, listeners } = this.#reports.get("measured")! as unknown as Possessions;
    return {
      heap,
      sockets: this.#wires.reduce((sum, { size }) => sum + size, 0),
      timers,
      listeners,
      broker: await inventoryOf(this.#kind.name, this.#world.servers[0]!),
    };
  }

  get #wires() {
    return this.#world.wires.get("first")!;
  }

  async #ask(what: string, answer: string): Promise<void> {
    await this.participant.ask(what, answer, PATIENCE);
    this.#check();
  }

  #check(): void {
    const { broken, unhandled, stderr } = this.participant.history;
    const wrong = [...broken, ...unhandled, ...stderr ? [stderr] : []];
    if (wrong.length > 0) throw new Error(wrong.slice(0, 5).join("\n"));
  }
}
