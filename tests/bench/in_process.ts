/**
 * What else needs no broker, on Deno and bundled on Node: writes its reports as
 * one line of JSON.
 *
 * @module
 */

import process from "node:process";
import { eventStreams } from "./event_streams.ts";
import { bursts, stalled } from "./memory.ts";
import { print } from "./report.ts";

const { versions } = process as { versions: { deno?: string; node: string } };
const runtime = versions.deno ? `Deno ${versions.deno}` : `Node ${versions.node}`;

print(JSON.stringify([await bursts(runtime), await stalled(runtime), await eventStreams(runtime)]));
// Branches of native tee() that nobody reads are no reason to stay.
process.exit(0);
