/**
 * Where a subscription starts: live, in the ring by `after`, or in the log.
 *
 * @module
 */

import type { Target } from "../backend/contract.ts";
import { GapError } from "../backend/errors.ts";
import type { Gap } from "../backend/event.ts";
import { foreignReason } from "../backend/id.ts";
import { nameOf } from "../backend/name.ts";
import type { AskedStart } from "../broker/capabilities.ts";
import type { Channel } from "./channel.ts";
import type { ReplayStart } from "./replay.ts";

/** Where a branch starts, and whom it tells. */
export interface BranchOptions {
  /** Start behind the event of this number instead of at the live end. */
  readonly after?: number;
  /** Start in the log. */
  readonly replay?: ReplayStart;
  /** A gap that lies before the first event. */
  readonly gap?: Gap | undefined;
  /** Told of a gap as soon as the branch waits at its place. What it throws ends the branch. */
  readonly onGap?: ((gap: Gap) => void) | undefined;
  /** Told first of a gap that is this branch's own: it fell behind, or the log does not reach it. */
  readonly onOwnGap?: ((gap: Gap) => void) | undefined;
}

/** Where a subscription starts, and what it does about gaps. */
export interface StartOptions extends AskedStart {
  /** Resume behind the event of this id; it wins over `history`. */
  readonly after: string | undefined;
  /** What to do when events may be missing. */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call; later, ends the subscription. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The start of a subscription: live, in the ring, or in the log.
 *
 * @param channel The channel, whose tail is open.
 * @param options What the user asked for.
 * @param notify Told of a gap that is this subscription's own.
 * @throws {TypeError} If `after` is not an id of this channel, and that was not to be a gap.
 */
export function startOf<Message>(
  channel: Channel<Message>,
  options: StartOptions,
  notify: (gap: Gap) => void,
): BranchOptions {
  const told = { onGap: gapHandler(channel.target, options.onGap), onOwnGap: notify };
  const { after, history = 0 } = options;
  if (after === undefined) return history > 0 ? { ...told, replay: { last: history } } : told;
  const { tee, scope } = channel;
  const found = scope.find(after);
  if (found.kind === "position" && tee.log) {
    return { ...told, replay: { position: found.position } };
  }
  const isHere = found.kind === "number" && !tee.log && tee.epoch.is(found.epoch);
  if (isHere && found.number < tee.ring.head) {
    return { ...told, ...inRing(channel, after, found.number, notify) };
  }
  const isPast = found.kind === "position" || found.kind === "number" && !isHere;
  if (!isPast && options.foreign !== "gap") {
    const reason = isHere ? "an id that this channel has not reached" : foreignReason(found);
    throw foreignError(channel.target, after, reason);
  }
  const gap: Gap = isPast ? { cause: "disconnect", after } : { cause: "unknown" };
  notify(gap);
  return { ...told, gap };
}

/** Why a subscription cannot resume behind an id. */
export function foreignError(
  target: Target | readonly string[],
  after: string,
  reason: string,
): TypeError {
  return new TypeError(
    `Cannot resume ${nameOf(target)} behind ${
      JSON.stringify(after)
    }: it is ${reason}, pass foreign: "gap" to start live instead`,
  );
}

/** Behind an event of the ring, or at its oldest if it holds that no more. */
function inRing<Message>(
  { tee }: Channel<Message>,
  id: string,
  number: number,
  notify: (gap: Gap) => void,
): BranchOptions {
  const oldest = tee.ring.oldest - 1;
  if (number >= oldest) return { after: number };
  const counted = tee.gapsUpTo(number) === tee.gapsUpTo(oldest);
  const gap: Gap = { cause: "disconnect", after: id, ...counted && { missed: oldest - number } };
  notify(gap);
  return { gap, after: oldest };
}

/** What is called for each gap. */
export function gapHandler(
  target: Target | readonly string[],
  onGap: StartOptions["onGap"],
): ((gap: Gap) => void) | undefined {
  if (typeof onGap === "function") return onGap;
  if (onGap !== "error") return undefined;
  return (gap) => {
    throw new GapError(nameOf(target), gap);
  };
}
