/** What is published against what arrives and what is told: nothing else may be missing. */

import { assert, assertEquals } from "@std/assert";
import { Broadcast, ConnectionError, OutcomeUnknownError } from "../../mod.ts";
import { Rig } from "../backends/rig.ts";
import { numbered, take, uniqueChannel, within } from "../conformance/harness.ts";
import { start } from "../services/postgres.ts";
import { Proxy } from "../services/proxy.ts";

const BATCHES = 60;
const BATCH = 20;
/** Before which batches what happens. */
const CUTS = new Set([10, 20, 50]);
const KILL = 35;

/** Readers that fall behind what is kept, by a few events and by most of them. */
export function inMemory(): void {
  for (const history of [0, 50]) {
    Deno.test(`memory: of what is published all arrives or is told as missed, with ${history} events kept`, async () => {
      await using broadcast = new Broadcast(`memory://?history=${history}&buffer=16`);
      const readers = await Promise.all(numbered(4).map(() => broadcast.subscribe("c")));
      const totals = readers.map(() => ({ received: 0, missed: 0 }));
      const count = 1_000;
      for (let number = 0; number < count; number++) {
        await broadcast.publish("c", `${number}`);
        for (const [index, reader] of readers.entries()) {
          // The first reads all, each next one a tenth of what the one before it does.
          if (number < count - 1 && (number + 1) % 10 ** index) continue;
          const total = totals[index]!;
          do {
            const [event] = await within(take(reader, 1));
            total.received++;
            total.missed += event!.gap?.missed ?? 0;
            assertEquals(Number(event!.message) + 1, total.received + total.missed);
          } while (number === count - 1 && total.received + total.missed < count);
        }
      }
      assertEquals(totals.map(({ received, missed }) => received + missed), Array(4).fill(count));
      assert(totals[3]!.missed > 0);
    });
  }
}

/** Connections that are cut, and a server that is killed, amid what is published. */
export function onPostgres(): void {
  Deno.test("postgres: whatever is cut or killed, all that does not arrive is missing before a gap", async () => {
    const server = await start();
    await using rig = new Rig(server, await Proxy.start(server.port));
    const channel = uniqueChannel();
    // One is cut, and loses what another one publishes; the other only loses its server.
    await using cut = new Broadcast(`${rig.url}?timeout=60s`);
    await using direct = new Broadcast(`${rig.direct}?timeout=60s`);
    const ledgers = await Promise.all([cut, direct, cut].map((one) => keep(one, channel)));
    const accepted: number[] = [];
    for (let batch = 0; batch < BATCHES; batch++) {
      if (CUTS.has(batch)) rig.proxy.cut();
      const killed = batch === KILL ? server.stop("SIGKILL") : undefined;
      await Promise.all(
        numbered(BATCH).map(async (_, index) => {
          const number = batch * BATCH + index;
          try {
            await direct.publish(channel, `${number}`);
            accepted.push(number);
          } catch (error) {
            // Then whoever publishes is told that it may be lost.
            const isLost = error instanceof ConnectionError || error instanceof OutcomeUnknownError;
            assert(isLost, `${error}`);
          }
        }),
      );
      if (killed) await killed.then(() => server.restart());
    }
    let isRead = false;
    const read = Promise.all(ledgers.map(({ done }) => done)).finally(() => isRead = true);
    // A connection that is back may have heard nothing yet of the last one.
    while (!isRead) await direct.publish(channel, "end");
    await within(read);
    for (const { received } of ledgers) {
      let expected = 0;
      for (const { number, isToldOf } of received) {
        const missing = accepted.filter((one) => one >= expected && one < number);
        if (!isToldOf) assertEquals(missing, []);
        expected = number + 1;
      }
      assert(received.some(({ isToldOf }) => isToldOf));
    }
    assert(accepted.length > BATCHES * BATCH / 2);
  });
}

/** Notes what arrives, and whether there was a gap before it. */
async function keep(broadcast: Broadcast, channel: string) {
  const subscription = await broadcast.subscribe(channel);
  const received: { readonly number: number; readonly isToldOf: boolean }[] = [];
  const done = (async () => {
    for await (const { message, gap } of subscription) {
      const number = message === "end" ? Infinity : Number(message);
      received.push({ number, isToldOf: gap !== undefined });
      if (message === "end") break;
    }
  })();
  return { received, done };
}
