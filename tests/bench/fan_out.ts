/**
 * Fan-out in one process: a broadcast on `memory://`, chained native `tee()`,
 * and a queue written by hand for each subscriber.
 *
 * @module
 */

import { broadcast, byHand, type Contender, native, tee } from "./contenders.ts";
import { atLeast, digits, type Report, shown, type Verdict } from "./report.ts";
import { ratio, rounds, spread, turn } from "./rounds.ts";

const CONTENDERS = [broadcast, tee, native, byHand];
const ROUNDS = 5;

/** How the events come. */
interface Pace {
  readonly name: string;
  /** Events between two turns of the event loop. */
  readonly burst: number;
}

const PACES: readonly Pace[] = [{ name: "bursts of 64", burst: 64 }, { name: "singly", burst: 1 }];

/**
 * Measures fan-out to 1, 100, 1,000 and 10,000 subscribers.
 *
 * @param runtime Where this runs, for the title.
 * @param limit How many times native `tee()` is promised, at 1,000 subscribers.
 */
export async function fanOut(runtime: string, limit: number): Promise<Report> {
  const rows = [[
    "subscribers",
    "events",
    ...CONTENDERS.map(({ name }) => name),
    "× native",
    "× hand",
  ]];
  const verdicts: Verdict[] = [];
  for (const readers of [1, 100, 1_000, 10_000]) {
    for (const pace of PACES) {
      const results = await rounds(
        readers === 10_000 ? 3 : ROUNDS,
        CONTENDERS,
        (contender) => measure(contender, readers, pace),
      );
      const [ours, , natives, hands] = results;
      const overNative = ratio(ours!, natives!);
      rows.push([
        readers.toLocaleString("en"),
        pace.name,
        ...results.map((result) => digits(spread(result).median)),
        shown(overNative),
        shown(ratio(ours!, hands!)),
      ]);
      if (readers === 1_000) {
        const target = `${runtime}: 1,000 subscribers, ${pace.name}: >= ${limit} × native tee()`;
        verdicts.push(atLeast(target, limit, overNative));
      }
    }
  }
  return {
    title: `Fan-out in one process, ${runtime}: deliveries per second`,
    rows,
    note:
      `Medians of ${ROUNDS} rounds (10,000: 3). "× native": memory:// over native tee(), round by round.`,
    verdicts,
  };
}

/** Deliveries per second. */
async function measure(contender: Contender, readers: number, { burst }: Pace): Promise<number> {
  const bursts = Math.max(burst === 1 ? 16 : 1, Math.ceil(100_000 / readers / burst));
  const events = Math.min(bursts, 500) * burst;
  const { push, done } = await contender.start(readers, events);
  await turn();
  const start = performance.now();
  for (let sent = 1; sent <= events; sent++) {
    push(`message ${sent}`);
    if (sent % burst === 0) await turn();
  }
  await done;
  return events * readers / (performance.now() - start) * 1000;
}
