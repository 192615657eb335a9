/**
 * Runs one contender in a process of its own: each line of its input asks for
 * one race, and is answered with the deliveries per second.
 *
 * @module
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { type Contender, CONTENDERS } from "./contenders.ts";
import { print } from "./report.ts";
import { collectGarbage, turn } from "./rounds.ts";

/** One race. */
export interface Race {
  /** The name of the contender. */
  readonly contender: string;
  /** How many read. */
  readonly readers: number;
  /** Events between two turns of the event loop. */
  readonly burst: number;
  /** Deliveries in all, roughly. */
  readonly deliveries: number;
}

for await (const line of createInterface(process.stdin)) {
  const race = JSON.parse(line) as Race;
  const contender = CONTENDERS.find(({ name }) => name === race.contender)!;
  print(`${await run(contender, race)}`);
}
process.exit(0);

/** Deliveries per second. */
async function run(contender: Contender, race: Race): Promise<number> {
  const { readers, burst, deliveries } = race;
  const events = Math.min(500, Math.ceil(deliveries / readers / burst)) * burst;
  const { push, done, stop } = await contender.start(readers, events);
  await turn();
  // What starting leaves behind is not what delivering costs.
  collectGarbage();
  const start = performance.now();
  for (let sent = 1; sent <= events; sent++) {
    push(`message ${sent}`);
    if (sent % burst === 0) await turn();
  }
  await done;
  const taken = performance.now() - start;
  await stop?.();
  return events * readers / taken * 1000;
}
