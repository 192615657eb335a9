import { assert, assertEquals } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import { Connection } from "../../../core/broker/connection.ts";
import { Random } from "../../conformance/random.ts";
import { Clock } from "../log/clock.ts";

/** How long each of ten connections lasts, in milliseconds, and how long it takes until the next one. */
async function pausesAfter(lasting: number): Promise<number[]> {
  const clock = new Clock(new Random(1));
  const backend = new MemoryBackend();
  const connection = new Connection({
    open: () => Promise.resolve(backend),
    probe: 0,
    onState: () => {},
  });
  try {
    await connection.ready();
    const pauses: number[] = [];
    while (pauses.length < 10) {
      await clock.pass(lasting);
      const since = Date.now();
      connection.lose(connection.generation, new Error("cut"));
      const connected = connection.ready();
      while (!connection.up) await clock.pass(1);
      await connected;
      pauses.push(Date.now() - since);
    }
    return pauses;
  } finally {
    connection.shut();
    await connection.close();
    clock.restore();
  }
}

Deno.test("a link that is cut again and again is connected for most of the time", async () => {
  for (const pause of await pausesAfter(850)) assert(pause <= 51, `${pause} ms`);
});

Deno.test("a server that accepts and closes is asked ever less", async () => {
  const pauses = await pausesAfter(10);
  assert(pauses.at(-1)! >= 2_500, `${pauses}`);
});

Deno.test("a loss that the backend notices before its tails do has an error, too", async () => {
  const backend = new MemoryBackend();
  const errors: unknown[] = [];
  const connection = new Connection({
    open: () => Promise.resolve(backend),
    probe: 0,
    onState: (state, error) => state === "reconnecting" && errors.push(error),
  });
  await connection.ready();
  Object.assign(backend, { connected: false });
  assert(!connection.up);
  assertEquals(String(errors), "ConnectionError: the connection to memory:// was lost");
  connection.shut();
  await connection.close();
});
