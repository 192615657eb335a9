/**
 * Subscriptions to several channels.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import { type Gap, mergeGaps } from "../backend/event.ts";
import { JointScope } from "../backend/id.ts";
import type { Deadline } from "../broker/connection.ts";
import type { Branch } from "../fanout/branch.ts";
import type { Channels } from "../fanout/channels.ts";
import { type Arrival, Merge } from "../fanout/merge.ts";
import { gapHandler, startOf, type StartOptions } from "../fanout/start.ts";
import { eventsIn, type Stretch } from "../log/history.ts";
import type { PageReader } from "../log/pages.ts";

/** Options for joining several channels. */
export interface JointOptions<Message> {
  /** Channels of the broadcast. */
  readonly channels: Channels<Message>;
  /** Backend of the channels. */
  readonly backend: Backend;
  /** Creates a log reader for a channel. */
  readonly log: (channel: string) => PageReader<Message>;
  /** Called for each gap of this subscription alone. */
  readonly onGap: (channel: string, gap: Gap) => void;
  /** Limits how long reads are retried. */
  readonly deadline: Deadline;
}

/** Joins several channels. Resolves once all tails are open. `names` must be sorted. */
export async function joinAll<Message>(
  names: readonly string[],
  options: StartOptions,
  joint: JointOptions<Message>,
): Promise<Merge<Message>> {
  const { backend, channels } = joint;
  const { after, signal } = options;
  const scope = new JointScope(backend.name, names);
  const ids = after === undefined ? undefined : scope.find(after);
  const gaps: Gap[] = after !== undefined && !ids ? [{ cause: "unknown" }] : [];
  for (const gap of gaps) for (const name of names) joint.onGap(name, gap);
  const past = !ids && options.history
    ? await pastOf(names, options.history, joint, signal)
    : undefined;
  const joining = names.map((name, index) =>
    channels.join(backend, name, (channel) => {
      const notify = (gap: Gap) => joint.onGap(name, gap);
      if (past) {
        const delivered = past.events.filter((event) => event.index === index).length;
        return { replay: { position: past.ends[index]! }, onOwnGap: notify, delivered };
      }
      const own = { after: ids?.[index], maxResume: options.maxResume };
      const { gap, ...start } = startOf(channel, own, notify);
      if (gap) gaps.push(gap.cause === "unknown" ? gap : { ...gap, after: after! });
      return start;
    }, signal)
  );
  const branches = await all(joining);
  return new Merge(branches, {
    scope,
    past: past?.events,
    from: past?.from,
    gap: gaps.reduce<Gap | undefined>(mergeGaps, undefined),
    onGap: gapHandler(names, options.onGap),
  });
}

/** Newest events of all channels, merged by time, and the position where each channel continues. */
async function pastOf<Message>(
  names: readonly string[],
  count: number,
  { log, onGap, deadline }: JointOptions<Message>,
  signal: AbortSignal | undefined,
) {
  const logs = names.map(log);
  const pasts = await Promise.all(
    logs.map((log, index) =>
      eventsIn(log, {
        limit: count,
        onGap: (gap) => onGap(names[index]!, gap),
        signal,
        deadline,
      })
    ),
  );
  const events = pasts.map(({ events }) => events).reduce<Arrival<Message>[]>(
    (merged, events, index) => merge(merged, events.map((event) => ({ event, index }))),
    [],
  ).slice(-count);
  const from = pasts.map((past, index) => {
    const kept = events.filter((event) => event.index === index).length;
    return kept === 0 ? undefined : idBefore(past, kept, logs[index]!);
  });
  return { events, from, ends: pasts.map(({ end }) => end) };
}

/** Merges by timestamp. Events with equal or no timestamps keep the order of the channels. */
function merge<Message>(
  one: readonly Arrival<Message>[],
  other: readonly Arrival<Message>[],
): Arrival<Message>[] {
  const merged: Arrival<Message>[] = [];
  let at = 0;
  for (const arrival of other) {
    while (at < one.length && timeOf(one[at]!) <= timeOf(arrival)) merged.push(one[at++]!);
    merged.push(arrival);
  }
  return merged.concat(one.slice(at));
}

function timeOf({ event }: Arrival<unknown>): number {
  return event.timestamp ?? 0;
}

/** Id of the position before the last `count` events. */
function idBefore<Message>(
  { events, from }: Stretch<Message>,
  count: number,
  log: PageReader<Message>,
): string {
  return events.at(-count - 1)?.id ?? log.id(from);
}

/** Resolves with all branches; if one fails, closes the others. */
async function all<Message>(joining: Promise<Branch<Message>>[]): Promise<Branch<Message>[]> {
  try {
    return await Promise.all(joining);
  } catch (error) {
    const outcomes = await Promise.allSettled(joining);
    for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.close();
    throw error;
  }
}
