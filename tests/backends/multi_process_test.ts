/** Publisher and subscribers in processes of their own, on every log: no event twice, none missing. */

import { assert, assertEquals } from "@std/assert";
import { deadline } from "@std/async";
import { Broadcast, type BroadcastEvent, type Subscription } from "../../mod.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";

const EVENTS = 10_000;
const READERS = 500;
const PATIENCE = 120_000;

const LOGS: [broker: string, url: (url: string) => string][] = [
  ["redis", (url) => `${url.replace(/^redis/, "redis-stream")}?maxlen=20000`],
  ["postgres", (url) => url.replace(/^postgres(ql)?/, "postgres-stream")],
  ["kafka", (url) => url],
  ["amqp", (url) => url.replace(/^amqp/, "amqp-stream")],
];

for (const [broker, urlOf] of LOGS) withBroker(broker, (url) => apart(broker, urlOf(url)));

function apart(name: string, url: string): void {
  Deno.test(`${name} log: ${READERS} join at any id, or with any history, while another process publishes`, async () => {
    await using broadcast = new Broadcast(url);
    const channel = uniqueChannel();
    const all = collect(await broadcast.subscribe(channel), `m${EVENTS - 1}`);
    await using publisher = publish(url, channel, "m", EVENTS);
    const ids: string[] = [];
    const probe = await broadcast.subscribe(channel);
    const joining: Promise<void>[] = [];
    for await (const { id } of probe) {
      ids.push(id);
      if (ids.length % (EVENTS / READERS) === 0) joining.push(join(joining.length));
      if (ids.length === EVENTS) break;
    }
    await deadline(publisher.done, PATIENCE);
    const events = await deadline(all, PATIENCE);
    assertEquals(events.map(({ message }) => message), numbered("m", EVENTS));
    await deadline(Promise.all(joining), PATIENCE);

    async function join(number: number): Promise<void> {
      if (number % 2 === 0) {
        const from = Math.floor(Math.random() * ids.length);
        const subscription = await broadcast.subscribe(channel, { after: ids[from] });
        const seen = await collect(subscription, `m${EVENTS - 1}`);
        assertEquals(seen, (await all).slice(from + 1));
      } else {
        const history = 1 + Math.floor(Math.random() * Math.min(ids.length, 2_000));
        const subscription = await broadcast.subscribe(channel, { history });
        const seen = await collect(subscription, `m${EVENTS - 1}`);
        assert(seen.length >= history);
        assertEquals(seen, (await all).slice(-seen.length));
      }
    }
  });

  Deno.test(`${name} log: two processes publish, and every subscriber sees one order`, async () => {
    await using broadcast = new Broadcast(url);
    await using other = new Broadcast(url);
    const channel = uniqueChannel();
    const count = EVENTS / 5;
    const readers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => [broadcast, other][index % 2]!.subscribe(channel)),
    );
    const received = Promise.all(readers.map((reader) => collect(reader, 2 * count)));
    await using one = publish(url, channel, "a", count);
    await using two = publish(url, channel, "b", count);
    await deadline(Promise.all([one.done, two.done]), PATIENCE);
    const [first, ...others] = await deadline(received, PATIENCE);
    for (const events of others) assertEquals(events, first);
    for (const prefix of ["a", "b"]) {
      const own = first!.map(({ message }) => message).filter((one) => one.startsWith(prefix));
      assertEquals(own, numbered(prefix, count));
    }
    const replayed = await broadcast.subscribe(channel, { history: 2 * count });
    assertEquals(await deadline(collect(replayed, 2 * count), PATIENCE), first);
  });
}

/** All events up to a message, or so many; each without a gap. */
async function collect(
  subscription: Subscription,
  end: string | number,
): Promise<BroadcastEvent[]> {
  const events: BroadcastEvent[] = [];
  for await (const event of subscription) {
    assertEquals(event.gap, undefined);
    events.push(event);
    if (event.message === end || events.length === end) break;
  }
  return events;
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}${number}`);
}

/** A process that publishes. */
function publish(
  url: string,
  channel: string,
  prefix: string,
  count: number,
): AsyncDisposable & { readonly done: Promise<void> } {
  const script = new URL("./publisher.ts", import.meta.url).pathname;
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", script, url, channel, prefix, `${count}`],
    stdin: "null",
  }).spawn();
  const done = process.status.then(({ success }) => assert(success, "the publisher has failed"));
  done.catch(() => {});
  return {
    done,
    async [Symbol.asyncDispose]() {
      try {
        process.kill();
      } catch {
        // It has ended.
      }
      await process.status;
    },
  };
}
