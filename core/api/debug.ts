/**
 * The debug log: `NODE_DEBUG=broadcaster` or `DEBUG=broadcaster`.
 *
 * The log names channels, states, times and errors, but no messages, headers or credentials.
 *
 * @module
 */

import { reasonOf } from "../backend/errors.ts";
import { nodeModule } from "../util/environment.ts";
import type { Observer } from "./observers.ts";

/** The used parts of `node:util`. */
interface Util {
  debuglog(section: string): ((format: string, text: string) => void) & {
    readonly enabled: boolean;
  };
}

/** The used parts of `node:process`. */
interface Process {
  readonly pid: number;
  readonly stderr: { write(text: string): unknown };
}

/** Opens the log. */
export async function openLog(): Promise<Observer> {
  const write = await writer();
  const line = (what: string, error: unknown, duration?: number) =>
    write(
      what + (error === undefined ? "" : ` failed, ${reasonOf(error)}`) +
        (duration === undefined ? "" : ` (${duration.toFixed(1)} ms)`),
    );
  return {
    publish: ({ channel, id, error, duration }) =>
      line(`publish ${JSON.stringify(channel)}${id ? ` ${id}` : ""}`, error, duration),
    subscribe: ({ target, error, duration }) =>
      line(`subscribe ${JSON.stringify(target)}`, error, duration),
    gap: ({ channel, gap }) => write(`gap ${JSON.stringify(channel)} ${JSON.stringify(gap)}`),
    stateChanged: (state, error) =>
      write(state + (error === undefined ? "" : `, ${reasonOf(error)}`)),
  };
}

/** `util.debuglog()` if `NODE_DEBUG` is set. Otherwise writes the same line to standard error. */
async function writer(): Promise<(text: string) => void> {
  const log = (await nodeModule<Util>("util"))?.debuglog("broadcaster");
  if (log?.enabled) return (text) => log("%s", text);
  const process = await nodeModule<Process>("process");
  return (text) => process?.stderr.write(`BROADCASTER ${process.pid}: ${text}\n`);
}
