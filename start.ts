/**
 * Where a subscription starts.
 *
 * @module
 */

import type { Target } from "./backend.ts";
import type { SubscribeOptions } from "./options.ts";
import type { Channel } from "./channel.ts";
import { kindOf } from "./codec.ts";
import { GapError } from "./errors.ts";
import type { Gap } from "./event.ts";
import type { Found, Scope } from "./id.ts";
import type { Position } from "./position.ts";
import type { ReplayStart } from "./replay.ts";
import { nameOf } from "./target.ts";

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
export type StartOptions = Omit<SubscribeOptions, "after"> & {
  /** Resume behind the event of this id. */
  readonly after: string | undefined;
};

/**
 * What the user asked for.
 *
 * @throws {TypeError} If an option has a value that means nothing.
 * @throws {RangeError} If `history` is no number of events.
 */
export function readStart(
  target: Target | readonly string[],
  { after, ...options }: SubscribeOptions,
): StartOptions {
  const { foreign = "error", history = 0, onGap = "continue" } = options;
  checkCount(`start with history of ${nameOf(target)}`, history, 0);
  if (foreign !== "error" && foreign !== "gap") {
    throw choiceError(target, "foreign", '"error" or "gap"', foreign);
  }
  if (onGap !== "continue" && onGap !== "error" && typeof onGap !== "function") {
    throw choiceError(target, "onGap", '"continue", "error" or a function', onGap);
  }
  return { ...options, after: after ?? undefined };
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

/**
 * The position of an id that a page of history is to lie behind or before.
 *
 * @throws {TypeError} If it is not an id of this channel.
 */
export function positionOf(
  id: string | null | undefined,
  { name, scope }: { readonly name: string; readonly scope: Scope },
): Position | undefined {
  if (id === undefined || id === null) return undefined;
  const found = scope.find(id);
  if (found.kind === "position") return found.position;
  throw new TypeError(
    `Cannot read history of "${name}" from ${JSON.stringify(id)}: it is ${foreignReason(found)}`,
  );
}

/**
 * A number of events.
 *
 * @param what What is done, as it appears in the message.
 * @throws {RangeError} If it is no such number.
 */
export function checkCount(what: string, count: unknown, least: number): void {
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= least) return;
  throw new RangeError(
    `Cannot ${what}: it must be a whole number of at least ${least}, it is ${
      typeof count === "number" ? count : kindOf(count)
    }`,
  );
}

function choiceError(
  target: Target | readonly string[],
  option: "foreign" | "onGap",
  choices: string,
  value: unknown,
): TypeError {
  return new TypeError(
    `Cannot subscribe to ${nameOf(target)}: option ${option} must be ${choices}, it is ${
      typeof value === "string" ? JSON.stringify(value) : kindOf(value)
    }`,
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

/** What an id is, if it is none of these channels. */
export function foreignReason({ kind }: { readonly kind: Found["kind"] }): string {
  if (kind === "malformed") return "not an event id";
  return kind === "foreign"
    ? "an id of another channel or backend"
    : "an id of a tail that had no log";
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
