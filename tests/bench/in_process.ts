/**
 * What else needs no broker, on Deno and bundled on Node: writes its reports as
 * one line of JSON.
 *
 * @module
 */

import process from "node:process";
import { eventStreams } from "./event_streams.ts";
import { bursts, stalled } from "./memory.ts";
import { print, type Report } from "./report.ts";
import { values } from "./values.ts";

const { versions } = process as { versions: { deno?: string; node: string } };
const runtime = versions.deno ? `Deno ${versions.deno}` : `Node ${versions.node}`;

const reports: Report[] = [];
for (const measure of [bursts, stalled, values, eventStreams]) reports.push(await measure(runtime));
print(JSON.stringify(reports));
// Branches of native tee() that nobody reads are no reason to stay.
process.exit(0);
