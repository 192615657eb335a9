/** Watches how long a process lets its event loop wait. Plain JavaScript, for Deno and for Node. */

import process from "node:process";

/** How often it looks, in milliseconds. */
const PERIOD = 5;

/**
 * Watches from now on.
 *
 * @returns Ends that. Returns for how long the event loop was blocked at most, in milliseconds, and
 * how much of that the process computed: the rest is what other processes took of the processor.
 */
export function watchEventLoop() {
  const longest = { wall: 0, computed: 0 };
  let since = performance.now();
  let cpu = process.cpuUsage();
  const timer = setInterval(() => {
    const now = performance.now();
    const used = process.cpuUsage(cpu);
    cpu = process.cpuUsage();
    const wall = now - since - PERIOD;
    since = now;
    longest.wall = Math.max(longest.wall, wall);
    // What threads compute beside the event loop counts as well, but no more than all of the time.
    longest.computed = Math.max(
      longest.computed,
      Math.min(wall, (used.user + used.system) / 1_000),
    );
  }, PERIOD);
  return () => {
    clearInterval(timer);
    return { wall: Math.round(longest.wall), computed: Math.round(longest.computed) };
  };
}
