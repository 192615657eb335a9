/**
 * Publishes to a cluster node, and follows MOVED and ASK redirections in order.
 *
 * @module
 */

import type { Payload, PayloadOptions } from "../../../core/backend/contract.ts";
import { type Cluster, type Node, REDIRECTIONS, type Route } from "./cluster.ts";
import { redirectionOf } from "./slots.ts";

/** Sends payloads of one channel: one promise for each. */
export type Send<N, Result> = (
  route: Route<N>,
  channel: string,
  payloads: readonly Payload[],
  options: readonly (PayloadOptions | undefined)[] | undefined,
) => readonly Promise<Result>[];

/** A payload that is not answered yet. */
interface Letter<Result> {
  readonly payload: Payload;
  readonly options: PayloadOptions | undefined;
  readonly succeed: (result: Result) => void;
  readonly fail: (reason: unknown) => void;
  redirections: number;
}

/**
 * Keeps the order of each channel when its slot moves: what comes back is sent
 * elsewhere, once all that is under way has been answered, and before all that
 * was given meanwhile.
 */
export class Redirects<N extends Node, Result> {
  readonly #cluster: Cluster<N>;
  readonly #send: Send<N, Result>;
  readonly #lanes = new Map<string, RedirectedQueue<N, Result>>();

  /**
   * @param cluster Where they go.
   * @param send How they go.
   */
  constructor(cluster: Cluster<N>, send: Send<N, Result>) {
    this.#cluster = cluster;
    this.#send = send;
  }

  /** Publishes the payloads of one channel: one promise for each. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): Promise<Result>[] {
    let lane = this.#lanes.get(channel);
    if (!lane) {
      lane = new RedirectedQueue(
        this.#cluster,
        this.#send,
        channel,
        () => this.#lanes.delete(channel),
      );
      this.#lanes.set(channel, lane);
    }
    return lane.publish(payloads, options);
  }
}

/** The payloads of one channel that are not answered yet. */
class RedirectedQueue<N extends Node, Result> {
  readonly #cluster: Cluster<N>;
  readonly #send: Send<N, Result>;
  readonly #channel: string;
  readonly #onIdle: () => void;
  /** How many are under way. */
  #flying = 0;
  /** Whether one of them has a key: while the slot moves it may come back alone. */
  #isKeyed = false;
  /** What has come back, and why. */
  #returned: Letter<Result>[] = [];
  #error: unknown;
  #route: Route<N> | undefined;
  /** What was given since something has come back, or has to wait for what has a key. */
  #waiting: Letter<Result>[] = [];

  constructor(cluster: Cluster<N>, send: Send<N, Result>, channel: string, onIdle: () => void) {
    this.#cluster = cluster;
    this.#send = send;
    this.#channel = channel;
    this.#onIdle = onIdle;
  }

  publish(
    payloads: readonly Payload[],
    options: readonly (PayloadOptions | undefined)[] | undefined,
  ): Promise<Result>[] {
    const letters: Letter<Result>[] = [];
    const answers = payloads.map((payload, index) =>
      new Promise<Result>((succeed, fail) => {
        letters.push({ payload, options: options?.[index], succeed, fail, redirections: 0 });
      })
    );
    const isHeld = this.#isKeyed && !letters.every(isKeyed);
    if (isHeld || this.#returned.length > 0 || this.#waiting.length > 0) {
      this.#waiting.push(...letters);
    } else this.#fly(letters);
    return answers;
  }

  #fly(given: readonly Letter<Result>[], redirected?: Route<N>): void {
    const [letters, behind] = split(given);
    this.#waiting.unshift(...behind);
    this.#isKeyed ||= letters.some(isKeyed);
    try {
      const route = this.#route = redirected ?? this.#cluster.route(this.#channel);
      const answers = this.#send(
        route,
        this.#channel,
        letters.map(({ payload }) => payload),
        letters.map(({ options }) => options),
      );
      this.#flying += letters.length;
      letters.forEach((letter, index) => {
        answers[index]!.then(
          (result) => {
            letter.succeed(result);
            this.#land();
          },
          (error) => {
            if (redirectionOf(error) && letter.redirections++ < REDIRECTIONS) {
              this.#returned.push(letter);
              this.#error = error;
            } else letter.fail(error);
            this.#land();
          },
        );
      });
    } catch (error) {
      for (const { fail } of [...letters, ...this.#waiting.splice(0)]) fail(error);
      if (this.#flying === 0) this.#onIdle();
    }
  }

  #land(): void {
    if (--this.#flying > 0) return;
    this.#isKeyed = false;
    if (this.#returned.length > 0) void this.#turn();
    else if (this.#waiting.length > 0) this.#fly(this.#waiting.splice(0));
    else this.#onIdle();
  }

  async #turn(): Promise<void> {
    try {
      const { redirections } = this.#returned[0]!;
      const route = await this.#cluster.redirect(this.#error, this.#route!, redirections - 1);
      const letters = [...this.#returned.splice(0), ...this.#waiting.splice(0)];
      this.#fly(letters, route);
    } catch (error) {
      for (const { fail } of [...this.#returned.splice(0), ...this.#waiting.splice(0)]) fail(error);
      this.#onIdle();
    }
  }
}

function isKeyed({ options }: Pick<Letter<unknown>, "options">): boolean {
  return options?.once !== undefined;
}

/** What can be under way together: nothing without a key goes behind what has one. */
function split<Result>(
  letters: readonly Letter<Result>[],
): readonly [readonly Letter<Result>[], readonly Letter<Result>[]] {
  const first = letters.findIndex(isKeyed);
  const end = letters.findIndex((letter, index) => first >= 0 && index > first && !isKeyed(letter));
  return end < 0 ? [letters, []] : [letters.slice(0, end), letters.slice(end)];
}
