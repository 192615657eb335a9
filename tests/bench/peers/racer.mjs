/**
 * One contender in a process of its own: `racer.mjs topic contender options`. Each line of its input
 * is a race, and is answered with a line of JSON: `{ value }`, or `{ error }`.
 *
 * @module
 */

import process from "node:process";
import { createInterface } from "node:readline";

const [topic, contender, options] = process.argv.slice(2);
const { open } = await import(`./${topic}.mjs`);
let opening;

const lines = createInterface(process.stdin);
// A race that hangs must not keep the process.
lines.on("close", () => setTimeout(() => process.exit(1), 5_000).unref());
for await (const line of lines) {
  const answer = await race(JSON.parse(line)).then(
    (value) => ({ value }),
    (error) => ({ error: error instanceof Error ? error.message : String(error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await opening?.then(({ close }) => close?.(), () => {});
process.exit(0);

async function race(line) {
  opening ??= Promise.resolve(open(contender, JSON.parse(options)));
  return await (await opening).race(line);
}
