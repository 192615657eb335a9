/**
 * Fan-out in one process: a broadcast on `memory://`, chained native `tee()`,
 * and a queue written by hand for each subscriber.
 *
 * @module
 */

import { CONTENDERS } from "./contenders.ts";
import type { Race } from "./racer.ts";
import { atLeast, digits, type Report, shown, type Verdict } from "./report.ts";
import { ratio, rounds, spread } from "./rounds.ts";
import { type Runtime, Worker } from "./runtime.ts";

const ROUNDS = 5;
/** Deliveries of one race: a shorter one measures how soon code is compiled. */
const DELIVERIES = 512_000;
const PACES = { "bursts of 64": 64, "singly": 1 };

/**
 * A contender, and the process it runs in: none spoils the optimised code of another, and no
 * number of readers that of another number.
 */
interface Racer {
  readonly name: string;
  readonly worker: Worker;
}

/** Measures fan-out to 1, 100, 1,000 and 10,000 subscribers. */
export async function fanOut(runtime: Runtime): Promise<Report> {
  const command = await runtime.command("racer.ts");
  const names = CONTENDERS.map(({ name }) => name);
  const rows = [["subscribers", "events", ...names, "× native tee()", "× hand-written"]];
  const verdicts: Verdict[] = [];
  for (const readers of [1, 100, 1_000, 10_000]) {
    for (const [pace, burst] of Object.entries(PACES)) {
      const racers = names.map((name) => ({ name, worker: new Worker(command) }));
      const results = await rounds(
        readers === 10_000 ? 3 : ROUNDS,
        racers,
        (racer) => race(racer, readers, burst),
      );
      await Promise.all(racers.map(({ worker }) => worker[Symbol.asyncDispose]()));
      const [ours, , natives, hands] = results;
      const overNative = ratio(ours!, natives!);
      rows.push([
        readers.toLocaleString("en"),
        pace,
        ...results.map((result) => digits(spread(result).median)),
        shown(overNative),
        shown(ratio(ours!, hands!)),
      ]);
      if (readers !== 1_000) continue;
      const target =
        `${runtime.name}, 1,000 subscribers, ${pace}: at least ${runtime.limit} × native tee()`;
      verdicts.push(atLeast(target, runtime.limit, overNative));
    }
  }
  return {
    title: `Fan-out in one process, ${runtime.name}: deliveries per second`,
    rows,
    note:
      `Medians of ${ROUNDS} rounds (10,000: 3), each contender in a process of its own for each row; quotients of memory:// round by round.`,
    verdicts,
  };
}

async function race({ name, worker }: Racer, readers: number, burst: number): Promise<number> {
  const race: Race = { contender: name, readers, burst, deliveries: DELIVERIES };
  return Number(await worker.ask(JSON.stringify(race)));
}
