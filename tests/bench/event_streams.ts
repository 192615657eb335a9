/**
 * Server-Sent Events: one frame for all, or one encoded for each.
 *
 * @module
 */

import { eventStream } from "../../core/sse/mod.ts";
import { Broadcast } from "../../mod.ts";
import { type Report, shown } from "./report.ts";
import { ratio, rounds, spread, turn } from "./rounds.ts";

const STREAMS = 1_000;
const EVENTS = 64;

/** One way to feed event streams. */
interface Contender {
  readonly name: string;
  start(): Promise<Feed>;
}

interface Feed {
  readonly streams: readonly ReadableStream<Uint8Array>[];
  push(message: string, number: number): void;
  end(): Promise<void>;
}

const ours: Contender = {
  name: "eventStream()",
  async start() {
    const broadcast = new Broadcast("memory://");
    const subscriptions = await Promise.all(
      Array.from({ length: STREAMS }, () => broadcast.subscribe("bench")),
    );
    return {
      streams: subscriptions.map((subscription) => eventStream(subscription, { heartbeat: 0 })),
      push: (message) => void broadcast.publish("bench", message),
      end: () => broadcast.disconnect(),
    };
  },
};

/** What people write: each connection encodes for itself. */
const byHand: Contender = {
  name: "TextEncoder each",
  start() {
    const controllers: ReadableStreamDefaultController<Uint8Array>[] = [];
    const encoder = new TextEncoder();
    return Promise.resolve({
      streams: Array.from({ length: STREAMS }, () =>
        new ReadableStream<Uint8Array>({
          start: (controller) => void controllers.push(controller),
        })),
      push: (message, number) => {
        for (const controller of controllers) {
          controller.enqueue(encoder.encode(`id: ${number}\ndata: ${message}\n\n`));
        }
      },
      end: () => Promise.resolve(controllers.forEach((controller) => controller.close())),
    });
  },
};

/** Measures what one event costs, per stream that it goes to. */
export async function eventStreams(runtime: string): Promise<Report> {
  const contenders = [ours, byHand];
  const rows = [["ns per event and stream", ...contenders.map(({ name }) => name), "ratio"]];
  for (const [name, burst] of Object.entries({ "bursts of 64": 64, "singly": 1 })) {
    const results = await rounds(5, contenders, (contender) => measure(contender, burst));
    const [mine, hand] = results;
    rows.push([name, ...results.map((times) => shown(spread(times))), shown(ratio(mine!, hand!))]);
  }
  return { title: `Event streams to ${STREAMS} readers, ${runtime}`, rows, verdicts: [] };
}

async function measure(contender: Contender, burst: number): Promise<number> {
  const { streams, push, end } = await contender.start();
  const readers = Promise.all(streams.map(readToEnd));
  await turn();
  const start = performance.now();
  for (let sent = 1; sent <= EVENTS; sent++) {
    push(`message ${sent} `.repeat(8), sent);
    if (sent % burst === 0) await turn();
  }
  await turn();
  await end();
  await readers;
  return (performance.now() - start) * 1e6 / EVENTS / STREAMS;
}

async function readToEnd(stream: ReadableStream<Uint8Array>): Promise<void> {
  const reader = stream.getReader();
  while (!(await reader.read()).done);
}
