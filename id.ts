/**
 * Event ids: opaque to callers, bound to their backend and channel.
 *
 * Without a log an id is `<scope>-<epoch>.<number>`. The scope is a hash of
 * backend and channel, so that an id of another channel is told from one that
 * is merely old. The epoch is drawn anew for each tail.
 *
 * @module
 */

const PATTERN = /^([0-9a-z]{14})-([0-9a-z]{12})\.([0-9a-z]{1,11})$/;

/** Whether a text has the form of an id. */
export function isId(text: string): boolean {
  return PATTERN.test(text);
}

/** What a text says about a place in an epoch. */
export type Place =
  | { readonly kind: "malformed" | "foreign" | "past" }
  | { readonly kind: "here"; readonly number: number };

/** The ids of one tail. */
export class Epoch {
  readonly #scope: string;
  readonly #name: string;
  readonly #prefix: string;

  /**
   * @param backend The name of the backend.
   * @param channel The name of the channel.
   */
  constructor(backend: string, channel: string) {
    this.#scope = hash(`${backend}\0${channel}`);
    this.#name = random();
    this.#prefix = `${this.#scope}-${this.#name}.`;
  }

  /** The id of the event of a number. */
  id(number: number): string {
    return this.#prefix + number.toString(36);
  }

  /**
   * Finds what an id means here: `malformed`, `foreign` if it is of another
   * channel or backend, `past` if it is of an earlier tail, or the number.
   */
  find(id: string): Place {
    const match = PATTERN.exec(id);
    if (!match) return { kind: "malformed" };
    if (match[1] !== this.#scope) return { kind: "foreign" };
    if (match[2] !== this.#name) return { kind: "past" };
    return { kind: "here", number: parseInt(match[3]!, 36) };
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

function random(): string {
  const [low = 0, high = 0] = crypto.getRandomValues(new Uint32Array(2));
  return (pad(low) + pad(high)).slice(2);
}

function pad(number: number): string {
  return number.toString(36).padStart(7, "0");
}
