/**
 * The proof that the session that listens hears what the other one publishes.
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

/** What a session that hears nothing most likely is. */
const SILENCE =
  "NOTIFY did not come back: is this a transaction pooler? Use a session connection, or postgres-stream://";

/** How long a session may take to answer after that, in milliseconds. */
const PROBE = 2_000;

/** Sends tokens on the session that publishes, which have to come back on the one that listens. */
export class Proof {
  /** Settles once a token has come back, or the user may not send one. */
  readonly opened: Promise<void>;
  /** The session that listens. */
  readonly listener: Session;
  readonly #publisher: () => Session;
  readonly #loopback: Loopback;
  /** A channel of its own: other processes do not hear its tokens. */
  readonly #channel = `broadcaster_${random()}`;

  /**
   * Sends the first token.
   *
   * @param listener The session that listens.
   * @param publisher The session that publishes.
   * @param wasProven Whether an earlier session has heard a token.
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

  /** Sends another token, unless the session has heard anything; cuts it if the signal aborts. */
  async probe(signal: AbortSignal): Promise<void> {
    if (this.listener.lost) return;
    try {
      await this.#loopback.probe(signal);
    } catch (error) {
      // An error of the session that publishes is not one of this session.
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

  /** A session that does not answer at all is lost, which is no reason to refuse. */
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
