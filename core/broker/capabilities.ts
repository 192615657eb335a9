/**
 * Rejects calls for capabilities that the backend lacks: history, patterns, headers, keys.
 *
 * @module
 */

import type { Backend, OutgoingPayload } from "../backend/contract.ts";
import { type Named, nameOf } from "../backend/name.ts";
import { Pattern } from "../backend/pattern.ts";

/** The schemes with each optional capability, as shown in messages. */
export interface Alternatives {
  /** The schemes with a log. */
  readonly log: readonly string[];
  /** The schemes with message headers. */
  readonly headers: readonly string[];
  /** The schemes that store idempotency keys. */
  readonly keys: readonly string[];
}

/** Checks calls against the capabilities of a backend. Errors name the schemes that have them. */
export class Capabilities {
  readonly #alternatives: Alternatives;

  /** @param alternatives The schemes with each optional capability. */
  constructor(alternatives: Alternatives) {
    this.#alternatives = alternatives;
  }

  /**
   * Checks a subscription.
   *
   * @param history The number of past events to start with.
   * @throws {TypeError} If the subscription needs a log or patterns, and the backend has none.
   */
  checkSubscribing(
    backend: Backend,
    target: string | readonly string[] | Pattern,
    history: number,
  ): void {
    const { patterns, patternLog } = backend.features;
    if (!(target instanceof Pattern)) {
      if (history > 0 && !backend.read) throw this.noLogError(backend, target);
      return;
    }
    if (!patterns) {
      throw new TypeError(
        `Cannot subscribe to ${
          nameOf(target)
        }: ${backend.name} has no patterns, name the channels instead`,
      );
    }
    if (history > 0 && !patternLog) {
      throw new TypeError(
        `Cannot read history of ${
          nameOf(target)
        }: on ${backend.name} no position covers all channels of a pattern, name the channels instead`,
      );
    }
  }

  /**
   * Checks the options of a message.
   *
   * @throws {TypeError} If the message has headers or an idempotency key that the backend does not
   * support.
   */
  checkPublishing({ name, features }: Backend, { channel, headers, once }: OutgoingPayload): void {
    if (headers && !features.headers) {
      throw this.#publishError(channel, "headers", `${name} has none`, name, "headers");
    }
    if (once && !features.keys) {
      throw this.#publishError(channel, "an idempotency key", `${name} stores none`, name, "keys");
    }
  }

  #publishError(
    channel: string,
    what: string,
    reason: string,
    name: string,
    feature: keyof Alternatives,
  ): TypeError {
    return new TypeError(
      `Cannot publish to ${nameOf(channel)} with ${what}: ${reason}${
        this.#elsewhere(name, feature)
      }`,
    );
  }

  /** The error for a backend without a log. */
  noLogError({ name }: Backend, target: Named, what = "read history of"): TypeError {
    return new TypeError(
      `Cannot ${what} ${nameOf(target)}: ${name} keeps no log${this.#elsewhere(name, "log")}`,
    );
  }

  /** A listed scheme lacks the capability only with `history=0`. */
  #elsewhere(name: string, feature: keyof Alternatives): string {
    const schemes = this.#alternatives[feature];
    if (schemes.includes(name)) return " with history=0";
    return schemes.length > 0 ? `, backends that do are ${schemes.join(", ")}` : "";
  }
}
