/** Breaks that cannot be examined, and tails that break again: one tail at a time, and none is left open. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Backend, Item, ReadResult } from "../../../core/backend/contract.ts";
import { type Place, Position } from "../../../core/backend/position.ts";
import { Broadcast, RefusedError } from "../../../mod.ts";
import { messages } from "../../conformance/harness.ts";

const BREAK: Item = { kind: "break", recreated: false, replaced: true, removed: "unknown" };

Deno.test("a break that cannot be examined ends the subscription, and its tail", async () => {
  const broker = new Broken(() => Promise.reject(new RefusedError("no permission")));
  const broadcast = new Broadcast(broker.backend);
  const subscription = await broadcast.subscribe("c");
  broker.push([recordAt(2)]);
  assertEquals(await messages(subscription, 1), ["2"]);
  const reader = subscription.getReader();
  broker.push([BREAK]);
  await assertRejects(() => reader.read(), RefusedError);
  await broadcast.disconnect();
  assertEquals([broker.opened, broker.open], [1, 0]);
});

Deno.test("a tail that breaks again wherever it is resumed is not opened in a busy loop", async () => {
  const broker = new Broken(() => Promise.resolve({ from: Position.start, items: [recordAt(3)] }));
  const broadcast = new Broadcast(broker.backend);
  const subscription = await broadcast.subscribe("c");
  broker.push([recordAt(2)]);
  assertEquals(await messages(subscription, 1), ["2"]);
  const third = broker.reaches(3);
  broker.breaks = true;
  broker.push([BREAK]);
  const start = performance.now();
  await third;
  assert(performance.now() - start > 1, "there is a pause before the third tail");
  await broadcast.disconnect();
  assertEquals(broker.open, 0);
});

/** A broker of one channel whose log answers as a test says. */
class Broken {
  opened = 0;
  open = 0;
  /** Whether each new tail breaks at once. */
  breaks = false;
  readonly backend: Backend;
  #push: (items: readonly Item[]) => void = () => {};
  #waits: { readonly count: number; readonly resolve: () => void } | undefined;

  constructor(read: NonNullable<Backend["read"]>) {
    this.backend = {
      name: "broken",
      address: "broken://",
      connected: true,
      features: { crossProcess: false, binary: true },
      publish: () => Promise.resolve(),
      read,
      tail: () => Promise.resolve({ position: Position.of(placeOf(1)), records: this.#tail() }),
      close: () => Promise.resolve(),
    };
  }

  push(items: readonly Item[]): void {
    this.#push(items);
  }

  /** Resolves once so many tails were opened. */
  reaches(count: number): Promise<void> {
    return new Promise((resolve) => this.#waits = { count, resolve });
  }

  #tail() {
    this.opened++;
    this.open++;
    if (this.opened === this.#waits?.count) this.#waits.resolve();
    const waiting: (readonly Item[])[] = this.breaks && this.opened > 1 ? [[BREAK]] : [];
    let over = false;
    let wake = () => {};
    this.#push = (items) => {
      waiting.push(items);
      wake();
    };
    return {
      read: async (): Promise<ReadResult> => {
        while (waiting.length === 0 && !over) await new Promise<void>((resolve) => wake = resolve);
        return over ? { done: true } : { done: false, value: waiting.shift()! };
      },
      cancel: () => {
        if (!over) this.open--;
        over = true;
        wake();
        return Promise.resolve();
      },
    };
  }
}

function placeOf(at: number): Place {
  return { shard: 0, at, sub: 0, fingerprint: `f${at}` };
}

function recordAt(at: number): Item {
  return { kind: "record", payload: `${at}`, place: placeOf(at) };
}
