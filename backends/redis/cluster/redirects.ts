/**
 * Publishes to the nodes of a cluster, and follows MOVED and ASK redirections in order.
 *
 * @module
 */

import type { OutgoingPayload } from "../../../core/backend/contract.ts";
import {
  ClosedError,
  ConnectionError,
  reasonOf,
  TemporaryError,
} from "../../../core/backend/errors.ts";
import { inBackground } from "../../../core/util/background.ts";
import { redirectionOf } from "../errors.ts";
import { type Cluster, type Node, REDIRECTIONS, type Route } from "./cluster.ts";

/** Sends messages to one node. Returns one promise for each message. */
export type Send<N, Result> = (
  route: Route<N>,
  messages: readonly OutgoingPayload[],
) => readonly Promise<Result>[];

/** An unanswered message. */
interface Letter<Result> {
  readonly message: OutgoingPayload;
  readonly succeed: (result: Result) => void;
  readonly fail: (reason: unknown) => void;
  redirections: number;
}

/** Letters of one channel that may be sent, and their route. */
interface Departure<N extends Node, Result> {
  readonly queue: ChannelQueue<N, Result>;
  readonly route: Route<N>;
  readonly letters: readonly Letter<Result>[];
}

/**
 * Keeps the order of each channel when its slot moves. Redirected messages are sent again once all
 * pending ones have been answered, and before messages that were added meanwhile.
 */
export class Redirects<N extends Node, Result> {
  readonly #cluster: Cluster<N>;
  readonly #send: Send<N, Result>;
  readonly #queues = new Map<string, ChannelQueue<N, Result>>();

  /**
   * @param cluster The nodes.
   * @param send Sends messages to a node.
   */
  constructor(cluster: Cluster<N>, send: Send<N, Result>) {
    this.#cluster = cluster;
    this.#send = send;
  }

  /** Publishes messages. Returns one promise for each. Messages for one node are sent together. */
  publish(messages: readonly OutgoingPayload[]): Promise<Result>[] {
    const channels = new Map<string, Letter<Result>[]>();
    const answers = messages.map((message) =>
      new Promise<Result>((succeed, fail) => {
        const letters = channels.get(message.channel) ?? [];
        channels.set(message.channel, letters);
        letters.push({ message, succeed, fail, redirections: 0 });
      })
    );
    const departures = [...channels].map(([channel, letters]) => this.#queue(channel).add(letters));
    this.#depart(departures.flatMap((departure) => departure ?? []));
    return answers;
  }

  #queue(channel: string): ChannelQueue<N, Result> {
    let queue = this.#queues.get(channel);
    if (!queue) {
      queue = new ChannelQueue(this.#cluster, channel, {
        onReady: (departure) => this.#depart([departure]),
        onIdle: () => this.#queues.delete(channel),
      });
      this.#queues.set(channel, queue);
    }
    return queue;
  }

  #depart(departures: readonly Departure<N, Result>[]): void {
    const nodes = new Map<N, Departure<N, Result>[]>();
    for (const departure of departures) {
      const { node } = departure.route;
      const together = nodes.get(node) ?? [];
      nodes.set(node, together);
      together.push(departure);
    }
    for (const together of nodes.values()) {
      const messages = together.flatMap(({ letters }) => letters.map(({ message }) => message));
      const answers = this.#send(together[0]!.route, messages).values();
      for (const { queue, letters } of together) {
        for (const letter of letters) queue.follow(letter, answers.next().value!);
      }
    }
  }
}

/** The unanswered messages of one channel. */
class ChannelQueue<N extends Node, Result> {
  readonly #cluster: Cluster<N>;
  readonly #channel: string;
  readonly #onReady: (departure: Departure<N, Result>) => void;
  readonly #onIdle: () => void;
  /** The number of pending messages. */
  #flying = 0;
  /** Whether a pending message has a key. It may be redirected alone while the slot moves. */
  #isKeyed = false;
  /** The redirected messages, and the reply that redirected them. */
  #returned: Letter<Result>[] = [];
  #error: unknown;
  #route: Route<N> | undefined;
  /** The messages that were added after a redirection, or that wait for a message with a key. */
  #waiting: Letter<Result>[] = [];

  constructor(
    cluster: Cluster<N>,
    channel: string,
    { onReady, onIdle }: {
      readonly onReady: (departure: Departure<N, Result>) => void;
      readonly onIdle: () => void;
    },
  ) {
    this.#cluster = cluster;
    this.#channel = channel;
    this.#onReady = onReady;
    this.#onIdle = onIdle;
  }

  /** Adds letters. Returns those that may be sent now. */
  add(letters: readonly Letter<Result>[]): Departure<N, Result> | undefined {
    const isHeld = this.#isKeyed && !letters.every(isKeyed);
    if (isHeld || this.#returned.length > 0 || this.#waiting.length > 0) {
      this.#waiting.push(...letters);
      return undefined;
    }
    return this.#take(letters);
  }

  /** Handles the answer of a sent letter. */
  follow(letter: Letter<Result>, answer: Promise<Result>): void {
    answer.then(
      (result) => {
        letter.succeed(result);
        this.#land();
      },
      (error) => {
        if (redirectionOf(error) && letter.redirections++ < REDIRECTIONS) {
          this.#returned.push(letter);
          this.#error = error;
        } else {
          letter.fail(error);
          this.#cluster.doubt(error);
          if (error instanceof TemporaryError || error instanceof ConnectionError) {
            this.#giveUp(error);
          }
        }
        this.#land();
      },
    );
  }

  #take(
    given: readonly Letter<Result>[],
    redirected?: Route<N>,
  ): Departure<N, Result> | undefined {
    const [letters, later] = split(given);
    this.#waiting.unshift(...later);
    this.#isKeyed ||= letters.some(isKeyed);
    try {
      const route = this.#route = redirected ?? this.#cluster.route(this.#channel);
      this.#flying += letters.length;
      return { queue: this, route, letters };
    } catch (error) {
      this.#waiting.unshift(...letters);
      this.#giveUp(error);
      if (this.#flying === 0) this.#onIdle();
      return undefined;
    }
  }

  #send(letters: readonly Letter<Result>[], redirected?: Route<N>): void {
    const departure = this.#take(letters, redirected);
    if (departure) this.#onReady(departure);
  }

  /** Gives letters back that are certainly not stored. The core sends them again in order. */
  #giveUp(cause: unknown): void {
    const error = cause instanceof ClosedError
      ? cause
      : new TemporaryError(reasonOf(cause), { cause });
    for (const { fail } of [...this.#returned.splice(0), ...this.#waiting.splice(0)]) fail(error);
  }

  #land(): void {
    if (--this.#flying > 0) return;
    this.#isKeyed = false;
    if (this.#returned.length > 0) inBackground(this.#redirect());
    else if (this.#waiting.length > 0) this.#send(this.#waiting.splice(0));
    else this.#onIdle();
  }

  async #redirect(): Promise<void> {
    try {
      const { redirections } = this.#returned[0]!;
      const route = await this.#cluster.redirect(this.#error, this.#route!, redirections - 1);
      const letters = [...this.#returned.splice(0), ...this.#waiting.splice(0)];
      this.#send(letters, route);
    } catch (error) {
      this.#giveUp(error);
      this.#onIdle();
    }
  }
}

function isKeyed({ message }: Pick<Letter<unknown>, "message">): boolean {
  return message.once !== undefined;
}

/**
 * Takes the letters that can be pending together. A letter without a key never follows one with a
 * key.
 */
function split<Result>(
  letters: readonly Letter<Result>[],
): readonly [readonly Letter<Result>[], readonly Letter<Result>[]] {
  const first = letters.findIndex(isKeyed);
  const end = letters.findIndex((letter, index) => first >= 0 && index > first && !isKeyed(letter));
  return end < 0 ? [letters, []] : [letters.slice(0, end), letters.slice(end)];
}
