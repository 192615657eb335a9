/**
 * The connection to a broker: opened at first use, probed, and reopened with backoff.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import { ClosedError, ConnectionError, reasonOf, RefusedError } from "../backend/errors.ts";
import type { BroadcastState } from "../backend/state.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import { after, deferred } from "../util/timer.ts";

/** A connection that held this long starts the pauses anew. */
const STABLE = 5_000;
/** How long publishing waits, at most, for a tail that opens again. */
const RESTORE_LIMIT = 1_000;
/** How long a probe waits for a sign of life. */
const PROBE_LIMIT = 5_000;

/** What a connection needs to know. */
export interface ConnectionOptions {
  /** Opens the backend; called once, at first use. */
  readonly open: () => Promise<Backend>;
  /** How long an idle connection goes without a probe, in milliseconds; 0 for never. */
  readonly probe: number;
  /** Told of each change. */
  readonly onState: (state: BroadcastState, error?: unknown) => void;
}

/**
 * One backend, and whether it can be used now. Its state changes in one place,
 * and every tail and every publish waits here.
 */
export class Connection {
  /** What it is now. */
  state: BroadcastState = "idle";
  /** The backend, once it is open. */
  backend: Backend | undefined;
  /** Counts the connections made: a loss is only news if it is of this one. */
  generation = 0;
  /** Why it was lost or could not be made, last. */
  error: unknown;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  /** Aborts, with a `ClosedError`, when it is shut. */
  readonly closing: AbortSignal = this.#closing.signal;
  #opening: Promise<Backend> | undefined;
  #ready: Promise<Backend> | undefined;
  readonly #restoring = new Set<Promise<void>>();
  #attempts = 0;
  #since = 0;
  #stopProbe: () => void = () => {};

  /** @param options What it needs to know. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** Where it leads, as it appears in messages. */
  get address(): string {
    return this.backend?.address ?? "the broker";
  }

  /** Whether it can be used now. */
  get up(): boolean {
    if (this.backend?.connected === false) this.lose(this.generation, this.error);
    return this.state === "connected";
  }

  /** Whether it can be used now, and every tail is open. */
  get whole(): boolean {
    return this.up && this.#restoring.size === 0;
  }

  /**
   * The backend, connected. Connects at first use; waits while a lost
   * connection is sought again.
   *
   * @throws {ClosedError} If it is closed, now or before it is connected.
   * @throws {ConnectionError} If the first connection cannot be made.
   */
  ready(): Promise<Backend> {
    if (this.up) return Promise.resolve(this.backend!);
    if (this.state === "closed") return Promise.reject(closedError());
    this.#ready ??= this.#connectFirst();
    return this.#ready;
  }

  /**
   * Holds publishing back until a tail is open again, so that a process hears
   * what it publishes behind an outage. Call what it returns once that is so.
   */
  holdPublishing(): () => void {
    const { promise, resolve } = deferred();
    this.#restoring.add(promise);
    return () => {
      this.#restoring.delete(promise);
      resolve();
    };
  }

  /** Connected, and every tail that was lost has been opened or has failed again. */
  async restored(): Promise<Backend> {
    const backend = await this.ready();
    if (this.#restoring.size === 0) return backend;
    // One channel that cannot be opened does not hold up all the others.
    const late = deferred();
    const stop = after(RESTORE_LIMIT, () => {
      this.#restoring.clear();
      late.resolve();
    });
    await Promise.race([Promise.all(this.#restoring), late.promise]);
    stop();
    return backend;
  }

  /** The connection of a generation is lost: it is sought again. */
  lose(generation: number, error: unknown): void {
    if (this.state !== "connected" || generation !== this.generation) return;
    this.#stopProbe();
    if (Date.now() - this.#since > STABLE) this.#attempts = 0;
    this.#ready = this.#connectAgain();
    this.#ready.catch(() => {});
    this.#change("reconnecting", error);
  }

  /** From now on nobody is let in, and whoever waits is turned away. */
  shut(): void {
    this.#stopProbe();
    this.#change("closed");
    this.#closing.abort(closedError());
  }

  /** Closes the backend; `shut()` comes before. */
  async close(): Promise<void> {
    const backend = this.backend ?? await this.#opening?.catch(() => undefined);
    await backend?.close();
  }

  async #connectFirst(): Promise<Backend> {
    this.#change("connecting");
    try {
      return await this.#connect();
    } catch (error) {
      this.#ready = undefined;
      if (this.closing.aborted) throw closedError();
      this.#change("idle", error);
      throw error;
    }
  }

  async #connectAgain(): Promise<Backend> {
    for (;;) {
      await backoff(this.#attempts++, this.closing);
      try {
        return await this.#connect();
      } catch (error) {
        if (this.closing.aborted) throw closedError();
        this.error = error;
      }
    }
  }

  async #connect(): Promise<Backend> {
    this.#opening ??= this.#options.open();
    this.#opening.catch(() => this.#opening = undefined);
    const backend = this.backend ??= await this.#opening;
    this.closing.throwIfAborted();
    try {
      await unlessAborted(this.closing, backend.connect?.());
    } catch (cause) {
      throw connectionError(backend, cause);
    }
    this.closing.throwIfAborted();
    this.generation++;
    this.#since = Date.now();
    this.#ready = undefined;
    this.#change("connected");
    this.#watch(backend, this.generation);
    return backend;
  }

  /** Half-open connections tell nothing by themselves: they are asked. */
  #watch(backend: Backend, generation: number): void {
    const { probe } = this.#options;
    if (!backend.probe || probe === 0) return;
    this.#stopProbe = after(probe, async () => {
      const limit = new AbortController();
      const stop = after(
        Math.min(probe, PROBE_LIMIT),
        () =>
          limit.abort(
            new ConnectionError(`Cannot reach ${backend.address}: a probe was not answered`),
          ),
      );
      this.#stopProbe = stop;
      try {
        await backend.probe!(limit.signal);
        if (this.generation === generation && this.state === "connected") {
          this.#watch(backend, generation);
        }
      } catch (error) {
        this.lose(generation, error);
      } finally {
        stop();
      }
    });
  }

  #change(state: BroadcastState, error?: unknown): void {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    this.error = error;
    this.#options.onState(state, error);
  }
}

/** The error for a use after `disconnect()`. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use broadcast: it is disconnected, make a new one");
}

/** Wraps, once, what a backend threw while it connected. */
function connectionError(backend: Backend, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  return cause instanceof RefusedError
    ? new RefusedError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause })
    : new ConnectionError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause });
}
