/** Whoever brings the incidents of a plan about, and makes all well again in the end. */

import { setTimeout as pause } from "node:timers/promises";
import type { Server } from "../services/server.ts";
import type { Participant } from "./participant.ts";
import type { Incident, Plan, Role, ServerFault, Whence } from "./plan.ts";
import type { World } from "./worlds.ts";

/** A fault of a server, as it was: times are in milliseconds since 1970. */
export interface Suffered {
  readonly fault: ServerFault;
  readonly from: number;
  readonly to: number;
}

/** An id that a reader may resume by, and the event that it stands for. */
export interface Handed {
  readonly id: string;
  readonly m: string;
}

/** Carries a plan out. */
export class Nemesis {
  /** What became of the servers. */
  readonly suffered: Suffered[] = [];
  readonly #world: World;
  readonly #participants: ReadonlyMap<Role, Participant>;
  /** The newest id that somebody else has of a channel. */
  readonly #idOf: (whose: Role, channel: string) => Handed | undefined;
  /** One fault of a server behind the other, however long it takes to start. */
  #servers: Promise<unknown> = Promise.resolve();
  /** When it began, later by what servers have taken to start. */
  #since = 0;
  /** Resolves once no server is starting. */
  #starting: Promise<unknown> = Promise.resolve();
  readonly #running: Promise<unknown>[] = [];

  constructor(
    world: World,
    participants: ReadonlyMap<Role, Participant>,
    idOf: (whose: Role, channel: string) => Handed | undefined,
  ) {
    this.#world = world;
    this.#participants = participants;
    this.#idOf = idOf;
  }

  /** Brings all incidents about; resolves once their time is over and all is well again. */
  async carryOut({ incidents, seconds }: Plan, log: (incident: Incident) => void): Promise<void> {
    this.#since = performance.now();
    for (const incident of incidents) {
      await this.#until(incident.at);
      log(incident);
      const running = this.#bringAbout(incident);
      // What fails is found in the end, when all are waited for.
      running.catch(() => {});
      this.#running.push(running);
    }
    await this.#until(seconds * 1_000);
    await Promise.all([...this.#running, this.#servers]);
    await Promise.all([...this.#world.wires.values()].flat().map((wire) => wire.calm()));
  }

  /** Time stands still while a server starts: on a slow machine all the rest would be over by then. */
  async #until(time: number): Promise<void> {
    for (;;) {
      await this.#starting;
      const left = this.#since + time - performance.now();
      if (left <= 0) return;
      await pause(Math.min(left, 20));
    }
  }

  async #bringAbout(incident: Incident): Promise<void> {
    const { lasts } = incident;
    if (incident.what === "wire") {
      const wires = this.#world.wires.get(incident.role)!;
      for (const wire of wires) wire.begin(incident.fault);
      await pause(lasts);
      await Promise.all(wires.map((wire) => wire.end(incident.fault)));
    } else if (incident.what === "server") {
      const { fault } = incident;
      await (this.#servers = this.#servers.then(() => this.#strike(fault, lasts)));
    } else {
      const { order } = incident;
      if (order.kind === "leave") {
        const { role, channel, from } = order;
        const participant = this.#participants.get(role)!;
        participant.order("part", { channel });
        await pause(lasts);
        const history = from === "history";
        const after = history ? undefined : this.#handed(role, channel, from);
        participant.order("resume", { channel, after, history });
      } else if (order.kind === "look") {
        const { role, channel, limit } = order;
        this.#participants.get(role)!.order("look", { channel, limit });
      } else if (order.kind === "doze") {
        this.#participants.get(order.role)!.order("doze", { channel: order.channel, lasts });
      } else {
        const { kind, ...details } = order;
        this.#participants.get("publisher")!.order(kind, details);
      }
    }
  }

  #handed(role: Role, channel: string, from: Whence): Handed | undefined {
    if (from === "own") return undefined;
    const other = role === "first" ? "second" : "first";
    return from === "publisher" && this.#idOf("publisher", channel) || this.#idOf(other, channel);
  }

  async #strike(fault: ServerFault, lasts: number): Promise<void> {
    const server = this.#world.servers[fault.server]!;
    const from = Date.now();
    if (fault.kind === "failover") {
      // Sentinels refuse while the last one is not over.
      await this.#world.failover!().catch(() => {});
    } else if (fault.kind === "revoke" || fault.kind === "starve" || fault.kind === "demote") {
      const harm = this.#world.harms![fault.kind]!;
      await harm.begin(server);
      await pause(lasts);
      await harm.end(server);
    } else if (fault.kind === "pause") {
      const pids = await pidsOf(server);
      for (const pid of pids) signal(pid, "SIGSTOP");
      await pause(lasts);
      for (const pid of pids) signal(pid, "SIGCONT");
    } else {
      await server.stop(...fault.kind === "kill" ? ["SIGKILL" as const] : []);
      await pause(lasts);
      const since = performance.now();
      const starting = server.restart();
      this.#starting = starting.catch(() => {});
      await starting;
      this.#since += performance.now() - since;
    }
    this.suffered.push({ fault, from, to: Date.now() });
  }
}

/** All processes of a server: those that work in its folder. */
async function pidsOf({ directory }: Server): Promise<number[]> {
  const pids: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const folder = await Deno.readLink(`/proc/${name}/cwd`);
      if (folder === directory || folder.startsWith(`${directory}/`)) pids.push(Number(name));
    } catch {
      // It has ended, or is not ours.
    }
  }
  return pids;
}

function signal(pid: number, name: Deno.Signal): void {
  try {
    Deno.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
