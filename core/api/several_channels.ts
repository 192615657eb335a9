/**
 * One subscription to several channels.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import { type Gap, mergeGaps } from "../backend/event.ts";
import { foreignReason, JointScope } from "../backend/id.ts";
import type { Branch } from "../fanout/branch.ts";
import type { Channels } from "../fanout/channels.ts";
import { type Arrival, Merge } from "../fanout/merge.ts";
import { foreignError, gapHandler, startOf, type StartOptions } from "../fanout/start.ts";
import { eventsIn, type Stretch } from "../log/history.ts";
import type { PageReader } from "../log/pages.ts";

/** Where several channels are joined, and who is told. */
export interface JointOptions<Message> {
  /** The channels of the broadcast. */
  readonly channels: Channels<Message>;
  /** Where they are channels. */
  readonly backend: Backend;
  /** Reads the past of one. */
  readonly log: (channel: string) => PageReader<Message>;
  /** Told of a gap that is this subscription's own. */
  readonly onGap: (channel: string, gap: Gap) => void;
}

/** Joins several channels, in an order that is always the same: once all their tails are open. */
export async function joinAll<Message>(
  names: readonly string[],
  options: StartOptions,
  joint: JointOptions<Message>,
): Promise<Merge<Message>> {
  const { backend, channels } = joint;
  const { after, signal } = options;
  const scope = new JointScope(backend.name, names);
  const ids = after === undefined ? undefined : idsOf(names, scope, options);
  const gaps: Gap[] = after !== undefined && !ids ? [{ cause: "unknown" }] : [];
  for (const gap of gaps) for (const name of names) joint.onGap(name, gap);
  const past = after === undefined && options.history
    ? await pastOf(names, options.history, joint, signal)
    : undefined;
  const joining = names.map((name, index) =>
    channels.join(backend, name, (channel) => {
      const notify = (gap: Gap) => joint.onGap(name, gap);
      if (past) return { replay: { position: past.ends[index]! }, onOwnGap: notify };
      const own = { after: ids?.[index] };
      const { gap, ...start } = startOf(channel, own, notify);
      if (gap) gaps.push({ ...gap, after: after! });
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

/** The ids of the channels; none if it is foreign, and that was to be a gap. */
function idsOf(
  names: readonly string[],
  scope: JointScope,
  { after, foreign }: StartOptions,
): readonly string[] | undefined {
  const found = scope.find(after!);
  if (typeof found !== "string") return found;
  if (foreign === "gap") return undefined;
  throw foreignError(names, after!, foreignReason({ kind: found }));
}

/** The newest events of all channels together, by their time, and where each channel goes on. */
async function pastOf<Message>(
  names: readonly string[],
  count: number,
  { log, onGap }: JointOptions<Message>,
  signal: AbortSignal | undefined,
) {
  const logs = names.map(log);
  const pasts = await Promise.all(
    logs.map((log, index) =>
      eventsIn(log, { limit: count, onGap: (gap) => onGap(names[index]!, gap), signal })
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

/** Both in order of their time; what has the same, or none, keeps the order of the channels. */
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

/** What the last so many events lie behind. */
function idBefore<Message>(
  { events, from }: Stretch<Message>,
  count: number,
  log: PageReader<Message>,
): string {
  return events.at(-count - 1)?.id ?? log.id(from);
}

/** All branches, or none. */
async function all<Message>(joining: Promise<Branch<Message>>[]): Promise<Branch<Message>[]> {
  try {
    return await Promise.all(joining);
  } catch (error) {
    const outcomes = await Promise.allSettled(joining);
    for (const outcome of outcomes) if (outcome.status === "fulfilled") outcome.value.close();
    throw error;
  }
}
