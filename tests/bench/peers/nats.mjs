/**
 * Ways to broadcast over NATS.
 *
 * @module
 */

import { connect } from "@nats-io/transport-node";
import { follow, ours } from "./broker.mjs";

const CONTENDERS = {
  "nats://": ours,

  /** The client alone: a callback that calls every reader, and a round trip for each publish. */
  async "nats.js"({ url, channel, readers, receive }) {
    const connection = await connect({ servers: url });
    connection.subscribe(channel, {
      callback() {
        for (let reader = 0; reader < readers; reader++) receive(reader);
      },
    });
    await connection.flush();
    return {
      async publish(message) {
        connection.publish(channel, message);
        // Ours resolves once the server has the message, too.
        await connection.flush();
      },
      close: () => connection.close(),
    };
  },
};

/** Starts the readers of a contender. */
export function open(name, options) {
  return follow(CONTENDERS[name], options);
}
