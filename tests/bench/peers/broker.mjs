/**
 * A race over a broker: some readers of one channel, and messages of which so many are in flight.
 *
 * @module
 */

import { inFlight, message, ready, timed } from "./pace.mjs";
import { Tally } from "./tally.mjs";

/**
 * Starts the readers of a contender.
 *
 * @param start Gives its readers to `read`, or calls `receive` for each message of a reader. Returns
 * how to publish, and how to close.
 */
export async function follow(start, { url, readers }) {
  const tally = new Tally(readers);
  const channel = `broadcaster_bench_${crypto.randomUUID()}`;
  let seen;
  function receive(reader) {
    seen?.();
    tally.add(reader);
  }
  async function readAll(reader, messages) {
    for await (const _ of messages) receive(reader);
  }
  const read = (reader, messages) => void readAll(reader, messages);
  const contender = await start({ url, channel, readers, receive, read });
  const { publish, close } = contender;
  await ready({ publish, tally });
  await contender.ready?.();
  return {
    race: ({ part, ...race }) =>
      part === undefined ? inFlight({ publish, tally }, race) : latency(race, part),
    close,
  };

  /**
   * The milliseconds from publish to receive that such a part of the messages stays below. There is
   * one reader, who gets them in the order in which they were sent.
   */
  async function latency({ least }, part) {
    const sentAt = [];
    const delays = [];
    seen = () => delays.push(performance.now() - sentAt[delays.length]);
    await timed(tally, async () => {
      for (let sent = 1; sent <= least; sent++) {
        tally.owe(1);
        sentAt.push(performance.now());
        await publish(message(sent));
      }
      await tally.settle();
      return least;
    });
    seen = undefined;
    return delays.sort((a, b) => a - b)[Math.floor(least * part)];
  }
}

/** Ours, on any broker: some readers, each with a subscription of its own. */
export async function ours({ url, channel, readers, read }) {
  const { Broadcast } = await import("@broadcaster/broadcaster");
  const broadcast = new Broadcast(url);
  for (let reader = 0; reader < readers; reader++) {
    read(reader, await broadcast.subscribe(channel));
  }
  return {
    publish: (message) => broadcast.publish(channel, message),
    close: () => broadcast.disconnect(),
  };
}
