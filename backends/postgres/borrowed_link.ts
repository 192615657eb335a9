/**
 * The sessions of the user's client.
 *
 * @module
 */

import type { Sql } from "postgres";
import type { ServerFacts } from "../../core/backend/contract.ts";
import { TemporaryError } from "../../core/backend/errors.ts";
import { unlessAborted } from "../../core/util/abort.ts";
import { answered } from "./errors.ts";
import { factsOf } from "./facts.ts";
import { isOfPooler, type Row, SESSION, type Statements } from "./statement.ts";

/** The listeners of a channel. */
export interface ChannelListener {
  /** Called with each notification. */
  readonly onNotify: (payload: string) => void;
  /** Called when the client listens, for the first time or again after its connection was lost. */
  readonly onListening: () => void;
}

/** The sessions of the user's client. The client reconnects by itself, and is never closed. */
export class BorrowedLink implements Statements {
  /** Settles once the server has answered. */
  readonly ready: Promise<void>;
  /** See `Statements`. */
  isPooled = false;
  readonly #client: Sql;

  /** @param client The user's client. */
  constructor(client: Sql) {
    this.#client = client;
    this.ready = this.#begin();
    this.ready.catch(() => {});
  }

  /** See `Statements`. */
  query(text: string, values: readonly (string | null)[]): Promise<readonly Row[]> {
    const prepare = !this.isPooled;
    return answered(this.#client.unsafe(text, [...values], { prepare }).values() as Promise<Row[]>);
  }

  /** See `Statements`. */
  async run(text: string): Promise<void> {
    await answered(this.#client.unsafe(text));
  }

  /**
   * Listens with the client's own `listen()`, which listens again after a loss. The client does not
   * report if that fails.
   *
   * @returns A function that stops it.
   */
  async listen(channel: string, { onNotify, onListening }: ChannelListener) {
    const [row] = await this.query("select $1 || pg_is_in_recovery()::text", [""]);
    if (row?.[0] === "true") {
      throw new TemporaryError("the server is a standby, which does not accept LISTEN");
    }
    try {
      await answered(this.#client.listen(channel, onNotify, onListening));
      return () => this.#unlisten(channel, onNotify);
    } catch (error) {
      // Otherwise the client would answer every later call for this channel with the same error.
      delete this.#channels?.[channel];
      throw error;
    }
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return factsOf(this);
  }

  /** Checks that the server answers. */
  async probe(signal: AbortSignal): Promise<void> {
    // The client pipelines other statements behind one without parameters. PgBouncer would lose
    // their answers.
    await unlessAborted(signal, this.query("select $1::text", ["1"]));
  }

  /** The client's listeners, which are a property of its method. */
  get #channels(): Record<string, ChannelListeners> | undefined {
    return (this.#client.listen as { channels?: Record<string, ChannelListeners> }).channels;
  }

  /** The client's own `unlisten()` has no effect once the client has listened again. */
  async #unlisten(channel: string, own: (payload: string) => void): Promise<void> {
    const known = this.#channels?.[channel];
    if (!known) return;
    known.listeners = known.listeners.filter(({ fn }) => fn !== own);
    if (known.listeners.length > 0) return;
    const { unlisten } = await answered(this.#client.listen(channel, () => {}));
    await answered(unlisten());
  }

  async #begin(): Promise<void> {
    this.isPooled = isOfPooler(await answered(this.#client.unsafe(SESSION)));
  }
}

/** The client's listeners of a channel. */
interface ChannelListeners {
  listeners: readonly { readonly fn: (payload: string) => void }[];
}
