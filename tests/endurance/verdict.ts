/** The verdicts on a storm and on a soak: what is not as it must be. */

import type { Inventory } from "./inventory.ts";

/** One return of the broker, in milliseconds. */
export interface Round {
  /** From the first connection that the wire accepted until every subscription had its message. */
  readonly live: number;
  /** How long the event loop was blocked at most by what the process itself computed. */
  readonly computed: number;
  /** The same with what other processes took of the processor. */
  readonly wall: number;
}

/** What a process has, and what is there for it, while it has no subscription. */
export interface Possessions {
  /** In bytes. */
  readonly heap: number;
  readonly sockets: number;
  readonly timers: number;
  readonly listeners: number;
  readonly broker: Inventory;
}

/** How many times as long as the bare client a broadcast may take. */
const TIMES = 2;
/** For how long the event loop may be blocked, in milliseconds. */
const BLOCKED = 100;
/** The part by which the heap may have grown. */
const GROWTH = 0.05;

/** What is wrong with the rounds of a broadcast, beside those of the bare client. */
export function judgeStorm(ours: readonly Round[], bare: readonly Round[]): string[] {
  const [took, limit] = [median(ours), TIMES * median(bare)];
  const blocked = Math.max(...ours.map(({ computed }) => computed));
  return [
    ...took > limit ? [`all were live after ${took} ms, which is more than ${limit} ms`] : [],
    ...blocked > BLOCKED ? [`the event loop was blocked for ${blocked} ms`] : [],
  ];
}

/** What is left at the end of a soak that was not there when it began. */
export function judgeSoak(begin: Possessions, end: Possessions): string[] {
  const { heap, broker, ...counts } = begin;
  const before: Inventory = { ...counts, ...named(broker) };
  const after: Inventory = { ...end, ...named(end.broker) } as unknown as Inventory;
  const grown = (end.heap - heap) / heap;
  return [
    ...grown > GROWTH ? [`the heap has grown by ${(100 * grown).toFixed(1)} %`] : [],
    ...Object.keys(before)
      .filter((name) => after[name]! > before[name]!)
      .map((name) => `${before[name]} ${name} have become ${after[name]}`),
  ];
}

/** The middle of what rounds took until all was live. */
export function median(rounds: readonly Round[]): number {
  return rounds.map(({ live }) => live).sort((a, b) => a - b)[rounds.length >> 1]!;
}

function named(broker: Inventory): Inventory {
  return Object.fromEntries(
    Object.entries(broker).map(([name, count]) => [`${name} at the broker`, count]),
  );
}
