/**
 * The messages of a stream that belong to one channel, or to a pattern.
 *
 * @module
 */

import type { AckPolicy, ConsumerInfo, DeliverPolicy } from "@nats-io/jetstream";
import type { Msg, MsgHdrs, Subscription } from "@nats-io/transport-node";
import { TemporaryError } from "../../../core/backend/errors.ts";
import { inBackground } from "../../../core/util/background.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import { NO_MESSAGES, refused } from "../errors.ts";
import { readHeaders } from "../headers.ts";
import type { Store } from "./store.ts";

/** A message as a consumer delivers it. */
export interface Stored {
  /** The sequence in the stream. */
  readonly at: number;
  readonly subject: string;
  readonly data: Uint8Array;
  /** Absent if there are none, or if they cannot be read. */
  readonly headers: MsgHdrs | undefined;
  /** The time when it was stored, in milliseconds since the Unix epoch. */
  readonly timestamp: number;
}

/** The time after which the server removes an unused consumer, in nanoseconds. */
const IDLE = 30_000_000_000;
/**
 * The approximate size of the answer to one request, in bytes. A server disconnects a client with
 * 64 MiB pending.
 */
const BYTES = 4 * 1024 * 1024;
/** The maximum time between two messages of a page, in milliseconds. */
const SILENCE = 5_000;

/** Reads the messages of some subjects from a sequence on. */
export class SubjectFilter {
  /** The sequence to start at. */
  readonly from: number;
  /** The number of messages from there on. */
  readonly count: number;
  readonly #store: Store;
  readonly #consumer: string;

  private constructor(store: Store, from: number, info: ConsumerInfo) {
    this.#store = store;
    this.from = from;
    this.#consumer = info.name;
    this.count = info.num_pending;
  }

  /** Opens a filter that starts at a sequence. */
  static async open(store: Store, subject: string, from: number): Promise<SubjectFilter> {
    const { consumers } = store.manager;
    const start = Math.max(1, from);
    const info = await store.call(() =>
      consumers.add(store.name, {
        filter_subject: subject,
        deliver_policy: "by_start_sequence" satisfies DeliverPolicy,
        opt_start_seq: start,
        ack_policy: "none" satisfies AckPolicy,
        inactive_threshold: IDLE,
        mem_storage: true,
        num_replicas: 1,
      })
    );
    return new SubjectFilter(store, start, info);
  }

  /** Reads the next messages, up to a limit. There are fewer only if there are no more. */
  async take(limit: number): Promise<Stored[]> {
    const taken: Stored[] = [];
    const wanted = Math.min(limit, this.count);
    while (taken.length < wanted && await this.#round(taken, wanted)) { /* once more */ }
    return taken;
  }

  /**
   * Sends one request, for at most as many messages as the server allows to be pending. Returns
   * whether there may be more.
   */
  async #round(taken: Stored[], wanted: number): Promise<boolean> {
    const { link, name } = this.#store;
    const { max_payload: largest = 0 } = link.client.info ?? {};
    const before = taken.length;
    const inbox = `_INBOX.${random()}`;
    let [done, fail] = [(_: boolean) => {}, (_: unknown) => {}];
    const round = new Promise<boolean>((...settle) => [done, fail] = settle);
    const silence = () =>
      after(SILENCE, () => fail(new TemporaryError("JetStream stopped in the middle of a page")));
    let stop = () => {};
    const hear = (error: Error | null, message: Msg): void => {
      stop();
      stop = silence();
      if (error) return fail(refused(error));
      // Headers cannot decide this, since another program may have stored a message with such a
      // status.
      if (message.reply?.startsWith("$JS.ACK.")) {
        taken.push(storedOf(message, message.reply));
        return taken.length === wanted ? done(true) : undefined;
      }
      const { code = 0, description = "" } = readHeaders(message) ?? {};
      if (NO_MESSAGES.includes(code)) return done(false);
      if (/maxbytes/i.test(description) && taken.length > before) return done(true);
      fail(new TemporaryError(`the stream cannot be read on: ${description || "it was removed"}`));
    };
    // It may reject before it is awaited.
    round.catch(() => {});
    let subscription: Subscription | undefined;
    try {
      ({ subscription } = await link.subscribe(() => ({
        subscription: link.client.subscribe(inbox, { callback: hear }),
      })));
      stop();
      stop = silence();
      const batch = wanted - before;
      const most = Math.max(BYTES, 2 * largest);
      const request = JSON.stringify({ batch, no_wait: true, max_bytes: most });
      const subject = `$JS.API.CONSUMER.MSG.NEXT.${name}.${this.#consumer}`;
      link.client.publish(subject, request, { reply: inbox });
      return await link.unlessLost(round);
    } finally {
      stop();
      subscription?.unsubscribe();
    }
  }

  /** Removes the consumer. Otherwise the server would remove it later. */
  close(): void {
    const { link, manager, name } = this.#store;
    inBackground(link.unlessRefused(() => manager.consumers.delete(name, this.#consumer)));
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<count>.<time>.<pending>`. Newer servers put
 * a domain and an account before the stream.
 */
function storedOf(message: Msg, reply: string): Stored {
  const tokens = reply.split(".");
  const [sequence, , time] = tokens.slice(tokens.length > 9 ? 7 : 5);
  const { subject, data } = message;
  const timestamp = Math.floor(Number(time) / 1e6);
  return { at: Number(sequence), timestamp, subject, data, headers: readHeaders(message) };
}
