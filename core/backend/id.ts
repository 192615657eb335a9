/**
 * Event ids: opaque to callers, bound to their backend and channel.
 *
 * An id begins with a scope, a hash of backend and channel. The scope distinguishes ids of other
 * channels from ids that are merely old.
 *
 * - With a log, an id is `<scope>~<position>`, and is valid in every process.
 * - Without a log, it is `<scope>-<epoch>.<number>`. Each tail has a new random epoch.
 * - A subscription to several channels combines their ids into one.
 *
 * @module
 */

import { base36 } from "../util/base36.ts";
import { random } from "../util/random.ts";
import type { Target } from "./contract.ts";
import { Position } from "./position.ts";

const PATTERN = /^([0-9a-z]{14})(?:-([0-9a-z]{12})\.([0-9a-z]{1,11})|~([0-9a-z._~-]*))$/;
/** The length of the hash. */
const SCOPE = 14;

/** The maximum length of an id in bytes. */
export const LONGEST_ID = 1024;

/** The result of parsing an id. */
export type Found =
  | { readonly kind: "malformed" | "foreign" }
  /** An event of a tail without a log. */
  | { readonly kind: "number"; readonly epoch: string; readonly number: number }
  | { readonly kind: "position"; readonly position: Position };

/** The reason why an id does not belong to a channel's log, for messages. */
export function foreignReason({ kind }: { readonly kind: Found["kind"] }): string {
  if (kind === "malformed") return "not an event id";
  return kind === "foreign"
    ? "an id of another channel or backend"
    : "an id of a tail that had no log";
}

/** The ids of one channel, or of all channels that match a pattern. */
export class Scope {
  /** The hash that every id begins with. */
  readonly hash: string;
  /** The text before the position. */
  readonly #prefix: string;

  /**
   * @param backend The name of the backend.
   * @param target The channel, or the pattern.
   */
  constructor(backend: string, target: Target) {
    // No scheme begins with "*", so a pattern never shares the hash of a channel.
    this.hash = hash(`${typeof target === "string" ? "" : "*"}${backend}\0${target}`);
    this.#prefix = `${this.hash}~`;
  }

  /** Formats the id of a position in the log. */
  id(position: Position): string {
    return this.#prefix + position.toString();
  }

  /** The part of an id before its number. */
  prefix(epoch: string): string {
    return `${this.hash}-${epoch}.`;
  }

  /** Parses an id. `foreign` means another channel or backend. */
  find(id: string): Found {
    const match = id.length <= LONGEST_ID ? PATTERN.exec(id) : null;
    if (!match) return { kind: "malformed" };
    const [, scope, epoch, number, places] = match;
    const position = places === undefined ? undefined : Position.parse(places);
    if (places !== undefined && !position) return { kind: "malformed" };
    if (scope !== this.hash) return { kind: "foreign" };
    return position
      ? { kind: "position", position }
      : { kind: "number", epoch: epoch!, number: parseInt(number!, 36) };
  }
}

/**
 * Joint ids of several channels: `<scope>`, then `..` and the id without its scope for each
 * channel.
 */
export class JointScope {
  readonly #hash: string;
  readonly #scopes: readonly Scope[];

  /**
   * @param backend The name of the backend.
   * @param channels The names of the channels, always in the same order.
   */
  constructor(backend: string, channels: readonly string[]) {
    this.#hash = hash(`+${backend}\0${JSON.stringify(channels)}`);
    this.#scopes = channels.map((channel) => new Scope(backend, channel));
  }

  /** Combines one id of each channel. */
  id(ids: readonly string[]): string {
    let joint = this.#hash;
    for (const id of ids) joint += `..${id.slice(SCOPE)}`;
    return joint;
  }

  /**
   * Splits a joint id into the ids of the channels. Returns `undefined` if it belongs to other
   * channels.
   */
  find(id: string): readonly string[] | undefined {
    if (id.length > LONGEST_ID || !id.startsWith(`${this.#hash}..`)) return undefined;
    const parts = id.slice(SCOPE + 2).split("..");
    if (parts.length !== this.#scopes.length) return undefined;
    const ids = parts.map((part, index) => this.#scopes[index]!.hash + part);
    const areIds = ids.every((id, index) =>
      ["position", "number"].includes(this.#scopes[index]!.find(id).kind)
    );
    return areIds ? ids : undefined;
  }
}

/** The ids of one tail without a log: numbers that are valid only in this process. */
export class Epoch {
  readonly #name = random();
  readonly #prefix: string;

  /** @param scope The ids of its channel. */
  constructor(scope: Scope) {
    this.#prefix = scope.prefix(this.#name);
  }

  /** The id of the event with this number. */
  id(number: number): string {
    return this.#prefix + base36(number);
  }

  /** Returns `true` if this is the name of the epoch. */
  is(epoch: string): boolean {
    return epoch === this.#name;
  }
}

/**
 * Two 32-bit FNV-1a hashes over UTF-16 code units, one of them from the end: enough to
 * distinguish channels.
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
