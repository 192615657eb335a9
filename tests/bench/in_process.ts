/**
 * What needs no broker, on Deno and bundled on Node. Writes its reports as one
 * line of JSON.
 *
 * @module
 */

import process from "node:process";
import { eventStreams } from "./event_streams.ts";
import { fanOut } from "./fan_out.ts";
import { bursts, stalled } from "./memory.ts";
import { print } from "./report.ts";

const { versions } = process as { versions: { deno?: string; node: string } };
const runtime = versions.deno ? `Deno ${versions.deno}` : `Node ${versions.node}`;

print(JSON.stringify([
  await fanOut(runtime, versions.deno ? 3 : 12),
  await bursts(runtime),
  await stalled(runtime),
  await eventStreams(runtime),
]));
// Branches of native tee() that nobody reads would keep some runtimes alive.
process.exit(0);
