/**
 * Proves that the listening session receives the notifications of the publishing session.
 *
 * @module
 */

import type { RecordReader } from "../../../core/backend/contract.ts";
import { RefusedError } from "../../../core/backend/errors.ts";
import { Loopback } from "../../../core/backend/kit/loopback.ts";
import { inBackground } from "../../../core/util/background.ts";
import { random } from "../../../core/util/random.ts";
import { after } from "../../../core/util/timer.ts";
import { lostError } from "../errors.ts";
import type { Session } from "./session.ts";

/** The most likely reason why a session receives nothing. */
const SILENCE =
  "NOTIFY did not come back: is this a transaction pooler? Use a session connection, or postgres-stream://";

/**
 * The time limit for another answer of a session whose token did not come back, in milliseconds.
 */
const PROBE = 2_000;

/** Sends tokens on the publishing session. They must come back on the listening session. */
export class Proof {
  /** Settles once a token has come back, or if the user may not send one. */
  readonly opened: Promise<void>;
  /** The listening session. */
  readonly listener: Session;
  readonly #publisher: () => Session;
  readonly #loopback: Loopback;
  /** A separate channel, so that other processes do not receive its tokens. */
  readonly #channel = `broadcaster_${random()}`;

  /**
   * Sends the first token.
   *
   * @param listener The listening session.
   * @param publisher The publishing session.
   * @param wasProven Whether an earlier session has received a token.
   */
  constructor(listener: Session, publisher: () => Session, wasProven: boolean) {
    this.listener = listener;
    this.#publisher = publisher;
    this.#loopback = new Loopback({
      send: async (payload) => {
        await publisher().notify([{ channel: this.#channel, payload }])[0];
      },
      silence: SILENCE,
    });
    listener.onHear = () => this.#loopback.hear();
    this.opened = this.#open(wasProven);
    this.opened.catch(() => {});
  }

  /** Whether a token has come back. */
  get isProven(): boolean {
    return this.#loopback.isProven;
  }

  /**
   * Sends another token, unless the session has received anything. Closes the session if the signal
   * aborts.
   */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.listener.lost) return;
    try {
      await this.#loopback.probe(signal);
    } catch (error) {
      // An error of the publishing session is not an error of this one.
      if (!signal.aborted) return;
      this.listener.cut(lostError(error));
      throw lostError(error);
    }
  }

  async #open(wasProven: boolean): Promise<void> {
    const { records } = await this.listener.listen(this.#channel);
    const lost = new AbortController();
    inBackground(this.#receive(records, lost));
    try {
      await this.#loopback.prove(wasProven, lost.signal);
    } catch (error) {
      if (error instanceof RefusedError) await this.#checkAlive();
      throw error;
    }
  }

  /** A session that does not answer at all is lost, not refused. */
  async #checkAlive(): Promise<void> {
    const late = new AbortController();
    const stop = after(PROBE, () => late.abort(lostError()));
    const sessions = [this.listener, this.#publisher()];
    await Promise.all(sessions.map((session) => session.probe(late.signal))).finally(stop);
  }

  async #receive(records: RecordReader, lost: AbortController): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await records.read();
        if (done) return;
        for (const item of value) {
          if (item.kind === "record") this.#loopback.receive(String(item.payload));
        }
      }
    } catch (error) {
      lost.abort(error);
    }
  }
}
