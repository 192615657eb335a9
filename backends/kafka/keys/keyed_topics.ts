/**
 * A cache of the topics that are published to with keys.
 *
 * @module
 */

import type { Position } from "../../../core/backend/position.ts";
import type { Cluster } from "../cluster.ts";
import { type KeyedCall, KeyedTopic } from "./keyed_topic.ts";

/** How many are known at most. */
const KNOWN = 10_000;

/** What was used longest ago is forgotten first: its keys are in the log. */
export class KeyedTopics {
  readonly #window: number;
  /** Those that were used last at the end. */
  readonly #topics = new Map<string, KeyedTopic>();

  /** @param window How long keys are known at most, in milliseconds. */
  constructor(window: number) {
    this.#window = window;
  }

  /** How many are known. */
  get size(): number {
    return this.#topics.size;
  }

  /** See {@linkcode KeyedTopic.send}. */
  send(
    cluster: Cluster,
    topic: string,
    calls: readonly KeyedCall[],
  ): Promise<readonly (Position | undefined)[]> {
    const keyed = this.#topics.get(topic) ?? new KeyedTopic(topic, this.#window);
    const now = keyed.used = Date.now();
    this.#topics.delete(topic);
    this.#topics.set(topic, keyed);
    for (const [name, { used }] of this.#topics) {
      // Of what was not used for so long no key is known any more.
      if (used + this.#window > now && this.#topics.size <= KNOWN) break;
      this.#topics.delete(name);
    }
    return keyed.send(cluster, calls);
  }
}
