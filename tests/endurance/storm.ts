/** A storm: a broker with many subscriptions dies and returns, for a broadcast and for the bare client. */

import type { NodeApp, Report } from "../chaos/participant.ts";
import { Participant } from "../chaos/participant.ts";
import type { Role } from "../chaos/plan.ts";
import type { Kind, World } from "../chaos/worlds.ts";
import type { Round } from "./verdict.ts";

/** How often the broker dies. */
const ROUNDS = 5;
/** How long it is away, in milliseconds. */
const AWAY = 500;
/** How long subscribing, and being live again, may take. */
const PATIENCE = 60_000;

/** The rounds of both. */
export interface Storm {
  readonly ours: readonly Round[];
  readonly bare: readonly Round[];
}

/** Carries a storm out; on Node if there is an app. */
export async function storm(kind: Kind, count: number, app: NodeApp | undefined): Promise<Storm> {
  await using world = await kind.start();
  return {
    bare: await weather(kind, world, { count, isBare: true }, "first", app),
    ours: await weather(kind, world, { count, isBare: false }, "second", app),
  };
}

async function weather(
  { log }: Kind,
  world: World,
  config: { count: number; isBare: boolean },
  role: Role,
  app: NodeApp | undefined,
): Promise<Round[]> {
  let last: Report = { t: "live" };
  const said: string[] = [];
  const participant = new Participant(
    role,
    "endurance/storm.mjs",
    { ...config, log, url: world.urlOf(role) },
    app,
    (report) => {
      if (report.t === "live") last = report;
      said.push(JSON.stringify(report));
    },
  );
  const must = async (isDone: Promise<boolean>) => {
    if (await isDone) return;
    const { broken, unhandled, stderr } = participant.history;
    const who = config.isBare ? "the bare client" : "the broadcast";
    throw new Error([who, ...broken, ...unhandled, stderr, ...said.slice(-8)].join("\n"));
  };
  try {
    await must(participant.ask("ready", "live", PATIENCE));
    const rounds: Round[] = [];
    while (rounds.length < ROUNDS) {
      await must(participant.ask("brace", "braced", PATIENCE));
      const live = participant.expect("live", PATIENCE);
      const wires = world.wires.get(role)!;
      for (const wire of wires) wire.begin({ kind: "refuse" });
      await Promise.all(world.servers.map((server) => server.stop("SIGKILL")));
      await new Promise((resolve) => setTimeout(resolve, AWAY));
      await Promise.all(world.servers.map((server) => server.restart()));
      for (const wire of wires) await wire.end({ kind: "refuse" });
      await must(live);
      const { at, computed, wall } = last as unknown as { at: number } & Round;
      const joined = Math.min(...wires.map(({ joined = Infinity }) => joined));
      rounds.push({ live: at - joined, computed, wall });
    }
    await must(participant.leave(PATIENCE).then(() => participant.history.broken.length === 0));
    return rounds;
  } finally {
    participant.kill();
  }
}
