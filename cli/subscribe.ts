/**
 * `broadcaster sub`: writes the events of channels, one per line, until it is interrupted.
 *
 * @module
 */

import { inBackground } from "../core/util/background.ts";
import { quote } from "../core/util/quote.ts";
import {
  type Arguments,
  type Command,
  JSON_OPTION,
  UsageError,
  VERBOSE_OPTION,
} from "./arguments.ts";
import { connected } from "./connection.ts";
import { EventLines } from "./event_lines.ts";
import type { Terminal } from "./terminal.ts";

/** The command. */
export const SUBSCRIBE: Command = {
  name: "sub",
  summary: "Writes the events of channels, one per line, until it is interrupted.",
  usage: "[options] [URL] CHANNEL...",
  options: {
    pattern: { short: "p", value: "PATTERN", help: "all matching channels: 'room.*'" },
    history: { short: "n", value: "N", help: "start with up to N of the most recent events" },
    after: { value: "ID", help: "start after the event with this id" },
    count: { short: "c", value: "N", help: "end after N events" },
    json: JSON_OPTION,
    verbose: VERBOSE_OPTION,
  },
  notes: `
Events of several channels, or of a pattern, are written as "channel | message". A gap, which means
that events may be missing, goes to standard error. With --json, it is a line between the events.

Examples:
  broadcaster sub redis://localhost:6379 chatroom news
  broadcaster sub nats://localhost:4222 --pattern 'room.*'
  broadcaster sub redis-stream://localhost:6379 orders --history 10 --json | jq .message`,
  async run(given: Arguments, terminal: Terminal): Promise<number> {
    const { names } = given;
    const pattern = given.text("pattern");
    const history = given.count("history");
    const after = given.text("after");
    const count = given.count("count") ?? Infinity;
    if (pattern === undefined && names.length === 0) throw new UsageError("no channel is given");
    if (pattern !== undefined && names.length > 0) {
      throw new UsageError("--pattern and channels cannot be given together, run it twice");
    }
    if (count === 0) throw new UsageError("--count must be at least 1");
    const starred = names.find((name) => name.includes("*"));
    if (starred !== undefined) {
      await terminal.warn(
        `warning: ${quote(starred)} is the name of one channel, for a pattern write --pattern`,
      );
    }
    const lines = new EventLines(terminal, {
      isJson: given.has("json"),
      channels: names,
      isNamed: pattern !== undefined || new Set(names).size > 1,
    });
    return await connected(given, terminal, async (broadcast) => {
      const { ending } = terminal;
      const subscription = await broadcast.subscribe(pattern === undefined ? names : { pattern }, {
        ...history !== undefined && { history },
        ...after !== undefined && { after },
        onGap: (gap) => inBackground(lines.writeGap(gap)),
        signal: ending,
      });
      const what = pattern === undefined
        ? names.map(quote).join(", ")
        : `pattern ${quote(pattern)}`;
      await terminal.notice(`subscribed to ${what}`, given.has("verbose"));
      let left = count;
      for await (const event of subscription) {
        await lines.write(event);
        if (--left === 0 || ending.aborted) break;
      }
      const { endReason } = subscription;
      if (endReason !== undefined) {
        const reason = endReason && `: ${terminal.err.shown(endReason)}`;
        await terminal.notice(`the channel was ended${reason}`, given.has("verbose"));
      }
      return 0;
    });
  },
};
