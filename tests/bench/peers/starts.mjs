/**
 * How long a program takes that uses a contender, beyond one that does nothing.
 *
 * @module
 */

import { spawnSync } from "node:child_process";

/** Starts within a race, of which the median counts. */
const STARTS = 7;

/** Takes the command of the program. */
export function open(contender, { program }) {
  const [command, ...args] = program;
  return { race: () => beyond(command, args, contender) };
}

function beyond(command, args, contender) {
  const taken = [];
  for (let starts = 0; starts < STARTS; starts++) {
    const empty = time(command, args);
    taken.push(time(command, [...args, contender]) - empty);
  }
  return Promise.resolve(taken.sort((a, b) => a - b)[STARTS >> 1]);
}

function time(command, args) {
  const start = performance.now();
  const { status } = spawnSync(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0) throw new Error(`Cannot start ${args.join(" ")}: exit code ${status}`);
  return performance.now() - start;
}
