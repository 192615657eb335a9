/**
 * Ways to fan out in one process: `publish()` here, `for await` there.
 *
 * @module
 */

import { bursts, ready } from "./pace.mjs";
import { Tally } from "./tally.mjs";

const CHANNEL = "bench";
/** Some drop what is beyond a hundred waiting messages; nothing may be lost here. */
const MORE = 1 << 20;

/** Each gives its readers to `read`, and returns how to publish. */
export const CONTENDERS = {
  async "memory://"(readers, read, url = "memory://") {
    const { Broadcast } = await import("@broadcaster/broadcaster");
    const broadcast = new Broadcast(url);
    for (let reader = 0; reader < readers; reader++) {
      read(reader, await broadcast.subscribe(CHANNEL));
    }
    return (message) => broadcast.publish(CHANNEL, message);
  },

  /** Without its log, which none of the others has. */
  "memory://?history=0"(readers, read) {
    return CONTENDERS["memory://"](readers, read, "memory://?history=0");
  },

  async "events.on"(readers, read) {
    const { EventEmitter, on } = await import("node:events");
    const emitter = new EventEmitter().setMaxListeners(0);
    for (let reader = 0; reader < readers; reader++) read(reader, on(emitter, CHANNEL));
    return (message) => void emitter.emit(CHANNEL, message);
  },

  async "oRPC"(readers, read) {
    const { MemoryPublisher } = await import("@orpc/experimental-publisher/memory");
    const publisher = new MemoryPublisher({ maxBufferedEvents: MORE });
    for (let reader = 0; reader < readers; reader++) read(reader, publisher.subscribe(CHANNEL));
    return (message) => publisher.publish(CHANNEL, { message });
  },

  async "graphql-subscriptions"(readers, read) {
    const { EventEmitter } = await import("node:events");
    const { PubSub } = await import("graphql-subscriptions");
    // Its own emitter warns of more than ten listeners.
    const eventEmitter = new EventEmitter().setMaxListeners(0);
    const pubsub = new PubSub({ eventEmitter });
    for (let reader = 0; reader < readers; reader++) {
      read(reader, pubsub.asyncIterableIterator(CHANNEL));
    }
    return (message) => pubsub.publish(CHANNEL, { message });
  },

  async "graphql-yoga"(readers, read) {
    const { setMaxListeners } = await import("node:events");
    const { createPubSub } = await import("graphql-yoga");
    const eventTarget = new EventTarget();
    setMaxListeners?.(0, eventTarget);
    const pubsub = createPubSub({ eventTarget });
    for (let reader = 0; reader < readers; reader++) read(reader, pubsub.subscribe(CHANNEL));
    return (message) => pubsub.publish(CHANNEL, { message });
  },
};

/** Starts the readers of a contender. */
export async function open(contender, { readers }) {
  const tally = new Tally(readers);
  const read = (reader, messages) => void tally.read(reader, messages);
  const publish = await CONTENDERS[contender](readers, read);
  await ready({ publish, tally });
  return { race: async (race) => readers * await bursts({ publish, tally }, race) };
}
