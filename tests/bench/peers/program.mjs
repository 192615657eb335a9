/**
 * A program whose start is timed: `program.mjs contender` imports it, subscribes, publishes, and ends
 * with the first message; `program.mjs` alone does nothing.
 *
 * @module
 */

import process from "node:process";

const contender = process.argv[2];
if (contender) {
  const { CONTENDERS } = await import("./in_process.mjs");
  await new Promise((resolve) => {
    CONTENDERS[contender](1, (_reader, messages) => void readOne(messages).then(resolve))
      .then((publish) => publish("first"));
  });
}
process.exit(0);

async function readOne(messages) {
  for await (const _ of messages) break;
}
