/**
 * What the processes of a run have in common: they are told what to do by lines on their input,
 * and report by lines on their output. Plain JavaScript, for Deno and for Node.
 */

import process from "node:process";
import { createInterface } from "node:readline";

/** What the process was told when it was started. */
export const config = JSON.parse(process.argv[2]);

/** How long reports are gathered, in milliseconds. */
const GATHERING = 50;

let records = [];
let timer;

/** Reports something; in order, and soon. */
export function report(record) {
  records.push(record);
  timer ??= setTimeout(flush, GATHERING);
}

function flush() {
  clearTimeout(timer);
  timer = undefined;
  if (records.length === 0) return;
  process.stdout.write(`${JSON.stringify(records)}\n`);
  records = [];
}

/** What an error is called, and says. */
export function saying(error) {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Waits. */
export function pause(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Does what it is told, until its input ends. */
export function obey(orders) {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const order = JSON.parse(line);
    Promise.resolve(orders[order.do](order)).catch((error) =>
      report({ t: "broken", error: `${order.do}: ${error?.stack ?? error}` })
    );
  });
}

/** Bytes in use, once what nobody uses is gone. */
export async function heap() {
  for (let turns = 0; turns < 3; turns++) {
    globalThis.gc();
    await pause(20);
  }
  return process.memoryUsage().heapUsed;
}

/** Watches over a broadcast. */
export function watch(broadcast, name) {
  broadcast.addEventListener("statechange", ({ state, error }) => {
    report({ t: "state", name, state, ...error !== undefined && { error: saying(error) } });
  });
  broadcast.addEventListener("messageerror", ({ channel, error }) => {
    report({ t: "unreadable", channel, error: saying(error) });
  });
  return broadcast;
}

/** Disconnects a broadcast, and reports how long that took. */
export async function disconnect(broadcast, name) {
  const since = performance.now();
  await broadcast.disconnect();
  report({ t: "disconnected", name, ms: Math.round(performance.now() - since) });
}

/** Tells the last, so that it is out before the process ends by itself. */
export function farewell(record) {
  report(record);
  flush();
}

if ("Deno" in globalThis) {
  for (const type of ["unhandledrejection", "error"]) {
    globalThis.addEventListener(type, (event) => {
      event.preventDefault();
      const error = event.reason ?? event.error;
      report({ t: "unhandled", error: `${type} ${error?.stack ?? error}` });
    });
  }
} else {
  for (const type of ["unhandledRejection", "uncaughtException"]) {
    process.on(type, (error) => {
      report({ t: "unhandled", error: `${type} ${error?.stack ?? error}` });
    });
  }
}
