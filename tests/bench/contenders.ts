/**
 * Ways to fan out in one process.
 *
 * @module
 */

import { Subscription } from "../../core/api/subscription.ts";
import { Epoch, Scope } from "../../core/backend/id.ts";
import { Tee } from "../../core/fanout/tee.ts";
import { Broadcast } from "../../mod.ts";

/** One way to fan out. */
export interface Contender {
  /** Its name in the table. */
  readonly name: string;
  /** Starts so many readers, each of which reads so many events. */
  start(readers: number, events: number): Promise<Race>;
}

/** Readers that read. */
export interface Race {
  /** Publishes one event. */
  push(message: string): void;
  /** Settles once all have read all. */
  readonly done: Promise<unknown>;
  /** Ends them: what leaving costs is not what delivering costs. */
  stop?(): void | Promise<void>;
}

/** All of the library, as users have it: `publish()` here, `for await` there. */
export const broadcast: Contender = {
  name: "memory://",
  async start(readers, events) {
    const broadcast = new Broadcast("memory://");
    const subscriptions = await Promise.all(
      Array.from({ length: readers }, () => broadcast.subscribe("bench")),
    );
    return {
      push: (message) => void broadcast.publish("bench", message),
      done: Promise.all(subscriptions.map((subscription) => readAll(subscription, events))),
      stop: () => broadcast.disconnect(),
    };
  },
};

/** Its tee alone, without the way of a message to it. */
export const tee: Contender = {
  name: "its tee",
  start(readers, events) {
    const tee = new Tee<string>(new Epoch(new Scope("bench", "bench")), {
      count: 1024,
      bytes: 4 << 20,
    });
    const subscriptions = Array.from(
      { length: readers },
      () => new Subscription("bench", tee.branch()),
    );
    return Promise.resolve({
      push: (message) => tee.push({ channel: "bench", message }, message.length),
      done: Promise.all(subscriptions.map((subscription) => readAll(subscription, events))),
      stop: () => tee.end(),
    });
  },
};

/** `ReadableStream.prototype.tee()`, chained: each join tees the last branch. */
export const native: Contender = {
  name: "native tee()",
  start(readers, events) {
    const { push, branches } = chain(readers);
    return Promise.resolve({
      push,
      done: Promise.all(branches.map((branch) => readByReader(branch, events))),
    });
  },
};

/** The limit: a queue and a waiting promise per subscriber, nothing else. */
export const byHand: Contender = {
  name: "hand-written",
  start(readers, events) {
    const queues = Array.from({ length: readers }, () => new Queue());
    return Promise.resolve({
      push: (message) => queues.forEach((queue) => queue.push(message)),
      done: Promise.all(queues.map((queue) => readAll(queue, events))),
    });
  },
};

/** A stream, and as many branches of native `tee()`. */
export function chain(readers: number): {
  push(message: string): void;
  branches: ReadableStream<string>[];
} {
  let controller!: ReadableStreamDefaultController<string>;
  let rest = new ReadableStream<string>({ start: (given) => void (controller = given) });
  const branches: ReadableStream<string>[] = [];
  while (branches.length < readers - 1) {
    const [branch, next] = rest.tee();
    branches.push(branch);
    rest = next;
  }
  return { push: (message) => controller.enqueue(message), branches: [...branches, rest] };
}

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

/** Reads as users do, and goes on: leaving would cost more than a hundred deliveries on Deno. */
function readAll(source: AsyncIterable<unknown>, events: number): Promise<void> {
  return new Promise((resolve, reject) => {
    async function read(): Promise<void> {
      let read = 0;
      for await (const _ of source) if (++read === events) resolve();
    }
    read().catch(reject);
  });
}

/** The fastest way to read a native stream. */
async function readByReader(source: ReadableStream<unknown>, events: number): Promise<void> {
  const reader = source.getReader();
  for (let read = 0; read < events; read++) await reader.read();
}

/** All of them. */
export const CONTENDERS: readonly Contender[] = [broadcast, tee, native, byHand];
