/** Tails that the server has forgotten, which happens too seldom to be brought about. */

import { assertEquals } from "@std/assert";
import { Watch, type Watched } from "../../backends/amqp_stream/watch.ts";

export function watch(): void {
  Deno.test("amqp-stream: a tail that the server has forgotten is found at the second look", async () => {
    const tail = new Tail(5);
    const watch = new Watch(() => Promise.resolve(9));
    watch.add(tail);
    await watch.look();
    assertEquals(tail.error, undefined);
    await watch.look();
    assertEquals(tail.error, "the server sends nothing of what the stream has");
  });

  Deno.test("amqp-stream: a tail that comes on, however slowly, is left alone", async () => {
    const tail = new Tail(5);
    const watch = new Watch(() => Promise.resolve(100));
    watch.add(tail);
    for (; tail.reached < 20; tail.reached++) await watch.look();
    assertEquals(tail.error, undefined);
  });

  Deno.test("amqp-stream: who asks nothing new of a tail asks nothing of the server", async () => {
    const [quiet, busy, gone] = [new Tail(5), new Tail(5, "busy"), new Tail(1, "gone")];
    const asked: string[] = [];
    const watch = new Watch((queue) => {
      asked.push(queue);
      return Promise.resolve(5);
    });
    for (const tail of [quiet, busy]) watch.add(tail);
    watch.add(gone)();
    await watch.look();
    busy.reached++;
    await watch.look();
    await watch.look();
    assertEquals(asked, ["quiet", "busy", "busy"]);
    assertEquals([quiet.error, busy.error], [undefined, undefined]);
  });
}

class Tail implements Watched {
  readonly queue: string;
  reached: number;
  error: string | undefined;

  constructor(reached: number, queue = "quiet") {
    this.reached = reached;
    this.queue = queue;
  }

  fail(error: unknown): void {
    this.error ??= (error as Error).message;
  }
}
