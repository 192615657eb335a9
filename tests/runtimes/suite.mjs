/**
 * Runs the conformance suite of the installed package on any runtime, and ends by itself: what
 * the library leaves open keeps the process alive, and the test that started it waits in vain.
 *
 * The harnesses are the argument, as JSON.
 */

import { conformance } from "@broadcaster/broadcaster/conformance";
import process from "node:process";

const cases = [];
for (const { url, limit = Infinity, ...harness } of JSON.parse(process.argv[2])) {
  const register = (name, body) => cases.push({ name, body });
  conformance(register, { ...harness, limit, target: () => url, clean: cleanerOf(harness, url) });
}

let passed = 0;
for (const { name, body } of cases) {
  try {
    await body();
    passed++;
  } catch (error) {
    process.stdout.write(`FAILED ${name}: ${error.stack}\n`);
  }
}
process.stdout.write(`${passed} of ${cases.length} passed\n`);
process.exitCode = passed === cases.length ? 0 : 1;

/** Each stream of RabbitMQ holds files open at the server, and none goes by itself. */
function cleanerOf({ name }, url) {
  if (name !== "amqp-stream") return undefined;
  return async (channels) => {
    const { connect } = await import("amqplib");
    const client = await connect(url.replace(/^[^:]*/, "amqp"));
    const lane = await client.createChannel();
    for (const channel of channels) {
      await lane.deleteQueue(channel.replace(/[%\r\n]/g, encode));
    }
    await client.close();
  };
}

function encode(character) {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}
