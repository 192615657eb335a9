/**
 * Start of a subscription: live, in the ring, or in the log.
 *
 * @module
 */

import type { Target } from "../backend/contract.ts";
import { GapError } from "../backend/errors.ts";
import type { Gap } from "../backend/event.ts";
import { nameOf } from "../backend/name.ts";
import type { Channel } from "./channel.ts";
import type { ReplayStart } from "./replay.ts";
import type { Tee } from "./tee.ts";

/** Options for a `Branch`. */
export interface BranchOptions {
  /** Start after the event with this number instead of at the live end. */
  readonly after?: number;
  /** Start in the log. */
  readonly replay?: ReplayStart;
  /** Gap before the first event. */
  readonly gap?: Gap | undefined;
  /**
   * Called for each gap, as soon as the branch has reached it. An error that it throws ends the
   * branch.
   */
  readonly onGap?: ((gap: Gap) => void) | undefined;
  /** Called before `onGap` for gaps of this branch alone: it fell behind, or the log was trimmed. */
  readonly onOwnGap?: ((gap: Gap) => void) | undefined;
  /** Number of events that the reader has received before this branch. */
  readonly delivered?: number;
}

/** Validated options of a subscription. */
export interface StartOptions {
  /** Number of recent events to start with, if `after` is not an id. */
  readonly history?: number | undefined;
  /** Id of the event to resume after. */
  readonly after: string | undefined;
  /** Maximum number of events to resume with. */
  readonly maxResume?: number | undefined;
  /** Action when events may be missing. */
  readonly onGap?: "continue" | "error" | ((gap: Gap) => void) | undefined;
  /** Aborts the call, or later ends the subscription. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Determines where a subscription starts.
 *
 * @param channel The channel; its tail must be open.
 * @param options Options of the subscription.
 * @param notify Called for each gap of this subscription alone.
 */
export function startOf<Message>(
  channel: Channel<Message>,
  options: StartOptions,
  notify: (gap: Gap) => void,
): BranchOptions {
  const { after, history = 0, maxResume } = options;
  const found = after === undefined ? {} : resume(channel, after, maxResume);
  if (found.gap) notify(found.gap);
  const isNew = after === undefined || found.gap?.cause === "unknown";
  return {
    ...isNew && history > 0 && { replay: { last: history } },
    ...found,
    onGap: gapHandler(channel.target, options.onGap),
    onOwnGap: notify,
  };
}

/**
 * Start after an id: in the log, in the ring, or live with a gap (`unknown` if it is not an id).
 */
function resume<Message>(
  { tee, scope }: Channel<Message>,
  after: string,
  most: number | undefined,
): BranchOptions {
  const found = scope.find(after);
  if (found.kind === "position" && tee.log) return { replay: { position: found.position, most } };
  if (found.kind === "number" && !tee.log && tee.epoch.is(found.epoch)) {
    if (found.number < tee.ring.head) return inRing(tee, after, found.number, most);
    return { gap: { cause: "unknown" } };
  }
  const isPast = found.kind === "position" || found.kind === "number";
  return { gap: isPast ? { cause: "disconnect", after } : { cause: "unknown" } };
}

/** Start after an event of the ring, or at the oldest event if that event is no longer kept. */
function inRing<Message>(
  tee: Tee<Message>,
  id: string,
  number: number,
  most = Infinity,
): BranchOptions {
  const { ring } = tee;
  const oldest = Math.max(ring.oldest, ring.head - most) - 1;
  if (number >= oldest) return { after: number };
  const counted = tee.gapsUpTo(number) === tee.gapsUpTo(oldest);
  const cause = oldest < ring.oldest ? "disconnect" : "overflow";
  const gap: Gap = { cause, after: id, ...counted && { missed: oldest - number } };
  return { gap, after: oldest };
}

/** The function to call for each gap, if any. */
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
