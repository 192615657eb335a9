/**
 * `broadcaster history`: writes the past events of a channel, one per line.
 *
 * @module
 */

import { type Arguments, type Command, JSON_OPTION, UsageError } from "./arguments.ts";
import { connected } from "./connection.ts";
import { EventLines } from "./event_lines.ts";
import type { Terminal } from "./terminal.ts";

/** The command. */
export const HISTORY: Command = {
  name: "history",
  summary: "Writes the past events of a channel, oldest first, one per line.",
  usage: "[options] [URL] CHANNEL",
  options: {
    limit: { short: "n", value: "N", help: "at most N events, the newest ones; by default 100" },
    before: { value: "ID", help: "only events before the event with this id" },
    after: { value: "ID", help: "only the oldest events after the event with this id" },
    json: JSON_OPTION,
  },
  notes: `
Only brokers with a log have a past: redis-stream://, postgres-stream://, kafka://, amqp-stream://
and nats-stream://.

Examples:
  broadcaster history redis-stream://localhost:6379 orders --limit 20
  broadcaster history nats-stream://localhost:4222 orders --json | jq -r .id`,
  async run(given: Arguments, terminal: Terminal): Promise<number> {
    const [channel, more] = given.names;
    if (channel === undefined) throw new UsageError("no channel is given");
    if (more !== undefined) throw new UsageError("one channel is read at a time");
    const limit = given.count("limit");
    const lines = new EventLines(terminal, {
      isJson: given.has("json"),
      channels: [channel],
      isNamed: false,
    });
    return await connected(given, terminal, async (broadcast) => {
      const events = await broadcast.history(channel, {
        ...limit !== undefined && { limit },
        before: given.text("before") ?? null,
        after: given.text("after") ?? null,
        signal: terminal.ending,
      });
      for (const event of events) {
        if (event.gap) await lines.writeGap(event.gap);
        await lines.write(event);
      }
      return 0;
    });
  },
};
