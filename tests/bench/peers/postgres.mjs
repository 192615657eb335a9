/**
 * Ways to broadcast over Postgres.
 *
 * @module
 */

import connect from "postgres";
import { follow, ours } from "./broker.mjs";

const CONTENDERS = {
  "postgres://": ours,

  /** The client alone: a callback that calls every reader. */
  async "postgres.js"({ url, channel, readers, receive }) {
    const sql = connect(url, { max: 1, fetch_types: false });
    // It opens a connection of its own to listen.
    await sql.listen(channel, () => {
      for (let reader = 0; reader < readers; reader++) receive(reader);
    });
    return {
      publish: (message) => sql`select pg_notify(${channel}, ${message})`,
      close: () => sql.end(),
    };
  },
};

/** Starts the readers of a contender. */
export function open(name, options) {
  return follow(CONTENDERS[name], options);
}
