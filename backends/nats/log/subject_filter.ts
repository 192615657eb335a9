/**
 * The messages of a stream that belong to one channel, or to a pattern.
 *
 * @module
 */

import type { AckPolicy, ConsumerInfo, DeliverPolicy } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { ConnectionError } from "../../../core/backend/errors.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import type { Store } from "./store.ts";

/** A message as a consumer brings it. */
export interface Stored {
  /** Its sequence in the stream. */
  readonly at: number;
  /** The rest of it. */
  readonly message: Pick<Msg, "data" | "headers" | "subject">;
  /** When it was stored, in milliseconds since 1970. */
  readonly timestamp: number;
}

/** How long the server keeps a consumer that nobody asks, in nanoseconds. */
const IDLE = 30_000_000_000;
/** What one request brings, about: a server cuts off who has too much under way, from 64 MiB. */
const BYTES = 4 * 1024 * 1024;
/** How long it may be silent amid a page. */
const SILENCE = 5_000;

/** A place in a stream from which the messages of some subjects can be read on. */
export class SubjectFilter {
  /** Where it began to look. */
  readonly from: number;
  /** How many there are from there on. */
  readonly count: number;
  readonly #store: Store;
  readonly #consumer: string;

  private constructor(store: Store, from: number, info: ConsumerInfo) {
    this.#store = store;
    this.from = from;
    this.#consumer = info.name;
    this.count = info.num_pending;
  }

  /** Begins to look at a sequence. */
  static async open(store: Store, subject: string, from: number): Promise<SubjectFilter> {
    const { consumers } = store.manager;
    const start = Math.max(1, from);
    const info = await store.call(consumers.add(store.name, {
      filter_subject: subject,
      deliver_policy: "by_start_sequence" satisfies DeliverPolicy,
      opt_start_seq: start,
      ack_policy: "none" satisfies AckPolicy,
      inactive_threshold: IDLE,
      mem_storage: true,
      num_replicas: 1,
    }));
    return new SubjectFilter(store, start, info);
  }

  /** The next so many messages; less only if there are no more. */
  async take(limit: number): Promise<Stored[]> {
    const taken: Stored[] = [];
    const wanted = Math.min(limit, this.count);
    while (taken.length < wanted && await this.#round(taken, wanted)) { /* once more */ }
    return taken;
  }

  /** Asks once, for no more than the server can have under way; whether there may be more. */
  async #round(taken: Stored[], wanted: number): Promise<boolean> {
    const { link, name } = this.#store;
    const { max_payload: largest = 0 } = link.client.info ?? {};
    const before = taken.length;
    const inbox = `_INBOX.${random()}`;
    let [done, fail] = [(_: boolean) => {}, (_: unknown) => {}];
    const round = new Promise<boolean>((...settle) => [done, fail] = settle);
    const silence = () =>
      after(SILENCE, () => fail(new ConnectionError("JetStream fell silent amid a page")));
    let stop = silence();
    const hear = (error: Error | null, message: Msg): void => {
      stop();
      stop = silence();
      if (error) return fail(error);
      const { code = 0, description = "" } = message.headers ?? {};
      if (code === 0) {
        taken.push(storedOf(message, message.reply!));
        return taken.length === wanted ? done(true) : undefined;
      }
      // Status 404 and 408 tell that there are no more.
      if (code !== 409 && code !== 503) return done(false);
      if (/maxbytes/i.test(description) && taken.length > before) return done(true);
      fail(new ConnectionError(`the stream cannot be read on: ${description || "it was removed"}`));
    };
    const subscription = link.client.subscribe(inbox, { callback: hear });
    try {
      const batch = wanted - before;
      const most = Math.max(BYTES, 2 * largest);
      const request = JSON.stringify({ batch, no_wait: true, max_bytes: most });
      const subject = `$JS.API.CONSUMER.MSG.NEXT.${name}.${this.#consumer}`;
      link.client.publish(subject, request, { reply: inbox });
      return await link.unlessLost(round);
    } finally {
      stop();
      subscription.unsubscribe();
    }
  }

  /** Lets the server forget it, as it would by itself in a while. */
  close(): void {
    this.#store.manager.consumers.delete(this.#store.name, this.#consumer).catch(() => {});
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<count>.<time>.<pending>`;
 * newer servers put a domain and an account before the stream.
 */
function storedOf(message: Msg, reply: string): Stored {
  const tokens = reply.split(".");
  const [sequence, , time] = tokens.slice(tokens.length > 9 ? 7 : 5);
  return { at: Number(sequence), message, timestamp: Math.floor(Number(time) / 1e6) };
}
