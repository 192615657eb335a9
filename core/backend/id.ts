/**
 * Event ids: opaque to callers, bound to their backend and channel.
 *
 * The scope, a hash of backend and channel, tells an id of another channel from
 * one that is merely old. With a log an id is `<scope>~<position>`, and means
 * the same in every process. Without one it is `<scope>-<epoch>.<number>`; the
 * epoch is drawn anew for each tail. Several channels together have an id of
 * their ids.
 *
 * @module
 */

import { random } from "../util/random.ts";
import type { Target } from "./contract.ts";
import { Position } from "./position.ts";

const PATTERN = /^([0-9a-z]{14})(?:-([0-9a-z]{12})\.([0-9a-z]{1,11})|~([0-9a-z._~-]*))$/;
const JOINT_PATTERN = /^[0-9a-z]{14}(?:\.\.[~-][0-9a-z_~-]*(?:\.[0-9a-z_~-]+)*){2,}$/;
/** The length of the hash that every id begins with. */
const SCOPE = 14;

/** What an id takes at most, in bytes. */
export const LONGEST_ID = 1024;

/** Whether a text has the form of an id. */
export function isId(text: string): boolean {
  return text.length <= LONGEST_ID && (PATTERN.test(text) || JOINT_PATTERN.test(text));
}

/** What a text says. */
export type Found =
  | { readonly kind: "malformed" | "foreign" }
  /** The event of a number, of the tail of an epoch. */
  | { readonly kind: "number"; readonly epoch: string; readonly number: number }
  | { readonly kind: "position"; readonly position: Position };

/** What an id is, if it is none of these channels. */
export function foreignReason({ kind }: { readonly kind: Found["kind"] }): string {
  if (kind === "malformed") return "not an event id";
  return kind === "foreign"
    ? "an id of another channel or backend"
    : "an id of a tail that had no log";
}

/** The ids of one channel, or of all that match a pattern. */
export class Scope {
  readonly #hash: string;

  /**
   * @param backend The name of the backend.
   * @param target The channel, or the pattern.
   */
  constructor(backend: string, target: Target) {
    // No scheme begins with a star.
    this.#hash = hash(`${typeof target === "string" ? "" : "*"}${backend}\0${target}`);
  }

  /** The id of a position in the log. */
  id(position: Position): string {
    return `${this.#hash}~${position}`;
  }

  /** What stands before the number in the ids of an epoch. */
  prefix(epoch: string): string {
    return `${this.#hash}-${epoch}.`;
  }

  /** What an id means: `foreign` if it is of another channel or backend. */
  find(id: string): Found {
    const match = id.length <= LONGEST_ID ? PATTERN.exec(id) : null;
    if (!match) return { kind: "malformed" };
    const [, scope, epoch, number, places] = match;
    const position = places === undefined ? undefined : Position.parse(places);
    if (places !== undefined && !position) return { kind: "malformed" };
    if (scope !== this.#hash) return { kind: "foreign" };
    return position
      ? { kind: "position", position }
      : { kind: "number", epoch: epoch!, number: parseInt(number!, 36) };
  }
}

/**
 * The ids of several channels together: `<scope>` and then, for each channel,
 * `..` and what stands in its own id behind the scope.
 */
export class JointScope {
  readonly #hash: string;
  readonly #hashes: readonly string[];

  /**
   * @param backend The name of the backend.
   * @param channels The names of the channels, in an order that is always the same.
   */
  constructor(backend: string, channels: readonly string[]) {
    this.#hash = hash(`+${backend}\0${JSON.stringify(channels)}`);
    this.#hashes = channels.map((channel) => new Scope(backend, channel).id(Position.start));
  }

  /** The id that stands for one id of each channel. */
  id(ids: readonly string[]): string {
    let joint = this.#hash;
    for (const id of ids) joint += `..${id.slice(SCOPE)}`;
    return joint;
  }

  /** The ids of the channels, or why there are none. */
  find(id: string): readonly string[] | "malformed" | "foreign" {
    if (!isId(id)) return "malformed";
    if (!id.startsWith(`${this.#hash}..`)) return "foreign";
    const ids = id.slice(SCOPE + 2).split("..").map((part, index) =>
      (this.#hashes[index]?.slice(0, SCOPE) ?? "") + part
    );
    return ids.length === this.#hashes.length && ids.every((id) => PATTERN.test(id))
      ? ids
      : "malformed";
  }
}

/** The ids of one tail without a log: numbers, that only this process understands. */
export class Epoch {
  readonly #name = random();
  readonly #prefix: string;

  /** @param scope The ids of its channel. */
  constructor(scope: Scope) {
    this.#prefix = scope.prefix(this.#name);
  }

  /** The id of the event of a number. */
  id(number: number): string {
    return this.#prefix + number.toString(36);
  }

  /** Whether an id of that epoch is of this one. */
  is(epoch: string): boolean {
    return epoch === this.#name;
  }
}

/**
 * Two 32-bit FNV-1a hashes over UTF-16 units, one of them from the end: enough to
 * tell channels apart.
 */
function hash(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x050c5d1f;
  for (let index = 0; index < text.length; index++) {
    low = Math.imul(low ^ text.charCodeAt(index), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(text.length - 1 - index), 0x01000193);
  }
  return pad(low >>> 0) + pad(high >>> 0);
}

function pad(number: number): string {
  return number.toString(36).padStart(7, "0");
}
