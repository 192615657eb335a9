/**
 * Fan-out in one process: a broadcast on `memory://`, chained native `tee()`,
 * and a queue written by hand for each subscriber, side by side in one run.
 *
 * @module
 */

import { Epoch } from "../../id.ts";
import { Subscription } from "../../subscription.ts";
import { Tee } from "../../tee.ts";

/** One way to fan out. */
export interface Contender {
  /** Its name in the table. */
  readonly name: string;
  /**
   * Starts so many readers, each of which reads so many events.
   *
   * @returns Publishes one event; and settles once all have been read.
   */
  start(readers: number, events: number): { push(message: string): void; done: Promise<unknown> };
}

/** The tee of this library, read as users read it: `for await` over subscriptions. */
export const ring: Contender = {
  name: "broadcast",
  start(readers, events) {
    const tee = new Tee<string>(new Epoch("bench", "bench"), { count: 1024, bytes: 4 << 20 });
    const subscriptions = Array.from(
      { length: readers },
      () => new Subscription("bench", tee.branch()),
    );
    return {
      push: (message) => tee.push("bench", message, message.length),
      done: Promise.all(subscriptions.map((subscription) => readAll(subscription, events))),
    };
  },
};

/** `ReadableStream.prototype.tee()`, chained: each join tees the last branch. */
export const chained: Contender = {
  name: "native tee()",
  start(readers, events) {
    let controller!: ReadableStreamDefaultController<string>;
    let rest = new ReadableStream<string>({ start: (given) => void (controller = given) });
    const branches: ReadableStream<string>[] = [];
    while (branches.length < readers - 1) {
      const [branch, next] = rest.tee();
      branches.push(branch);
      rest = next;
    }
    branches.push(rest);
    return {
      push: (message) => controller.enqueue(message),
      done: Promise.all(branches.map((branch) => readByReader(branch, events))),
    };
  },
};

/** The limit: an unbounded queue and a waiting promise per subscriber, nothing else. */
export const byHand: Contender = {
  name: "hand-written",
  start(readers, events) {
    const queues = Array.from({ length: readers }, () => new Queue());
    return {
      push: (message) => queues.forEach((queue) => queue.push(message)),
      done: Promise.all(queues.map((queue) => readAll(queue, events))),
    };
  },
};

class Queue implements AsyncIterableIterator<string> {
  #waiting: string[] = [];
  #resolve: ((result: IteratorResult<string>) => void) | undefined;

  push(value: string): void {
    const resolve = this.#resolve;
    this.#resolve = undefined;
    if (resolve) resolve({ done: false, value });
    else this.#waiting.push(value);
  }

  next(): Promise<IteratorResult<string>> {
    if (this.#waiting.length === 0) return new Promise((resolve) => this.#resolve = resolve);
    return Promise.resolve({ done: false, value: this.#waiting.shift()! });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

async function readAll(source: AsyncIterable<unknown>, events: number): Promise<void> {
  let read = 0;
  for await (const _ of source) if (++read === events) return;
}

async function readByReader(source: ReadableStream<unknown>, events: number): Promise<void> {
  const reader = source.getReader();
  for (let read = 0; read < events; read++) await reader.read();
}

/** Deliveries per second: events in bursts of 64, with a turn of the event loop in between. */
export async function measure(
  contender: Contender,
  readers: number,
  deliveries: number,
): Promise<number> {
  const events = Math.max(64, Math.ceil(deliveries / readers / 64) * 64);
  const { push, done } = contender.start(readers, events);
  await turn();
  const start = performance.now();
  for (let sent = 0; sent < events; sent++) {
    push(`message ${sent}`);
    if (sent % 64 === 63) await turn();
  }
  await done;
  return events * readers / (performance.now() - start) * 1000;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
