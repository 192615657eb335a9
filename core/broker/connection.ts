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

/** A connection that lasted this long resets the backoff, in milliseconds. */
const STABLE = 5_000;
/** The maximum time that publishing waits for tails to reopen, in milliseconds. */
const RESTORE_LIMIT = 1_000;
/** The timeout of a probe, in milliseconds. */
const PROBE_LIMIT = 5_000;

/** Options of a connection. */
export interface ConnectionOptions {
  /** Opens the backend. Called at first use, and again only if that failed. */
  readonly open: () => Promise<Backend>;
  /** The interval between probes in milliseconds; 0 disables them. */
  readonly probe: number;
  /** Called after each change of state. */
  readonly onState: (state: BroadcastState, error?: unknown) => void;
}

/**
 * The connection of one backend. Its state changes only here, and every tail and every publish
 * waits here.
 */
export class Connection {
  /** The current state. */
  state: BroadcastState = "idle";
  /** The backend, once it is open. */
  backend: Backend | undefined;
  /** The number of connections opened so far. Losses of an earlier one are ignored. */
  generation = 0;
  /** The latest reason why the connection was lost or could not be opened. */
  error: unknown;
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  /** Aborts with a `ClosedError` on `shut()`. */
  readonly closing: AbortSignal = this.#closing.signal;
  #opening: Promise<Backend> | undefined;
  #ready: Promise<Backend> | undefined;
  readonly #restoring = new Set<Promise<void>>();
  #attempts = 0;
  #since = 0;
  #stopProbe: () => void = () => {};

  /** @param options Options of the connection. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  /** The broker's address, as shown in messages. */
  get address(): string {
    return this.backend?.address ?? "the broker";
  }

  /** `true` while connected. */
  get up(): boolean {
    if (this.backend?.connected === false) this.lose(this.generation, this.error);
    return this.state === "connected";
  }

  /** `true` while connected with every tail open. */
  get whole(): boolean {
    return this.up && this.#restoring.size === 0;
  }

  /**
   * Resolves with the connected backend. Connects at first use, and waits while reconnecting.
   *
   * @throws {ClosedError} If it is closed, or is closed before it is connected.
   * @throws {ConnectionError} If the first connection cannot be opened.
   */
  ready(): Promise<Backend> {
    if (this.up) return Promise.resolve(this.backend!);
    if (this.state === "closed") return Promise.reject(closedError());
    this.#ready ??= this.#connectFirst();
    return this.#ready;
  }

  /**
   * Holds publishing back until a lost tail is open again, so that a process receives its own
   * messages after an outage.
   *
   * @returns Call it once the tail is open again or has failed.
   */
  holdPublishing(): () => void {
    const { promise, resolve } = deferred();
    this.#restoring.add(promise);
    return () => {
      this.#restoring.delete(promise);
      resolve();
    };
  }

  /** Resolves once connected, and every lost tail was reopened or has failed again. */
  async restored(): Promise<Backend> {
    const backend = await this.ready();
    if (this.#restoring.size === 0) return backend;
    // A channel whose tail does not reopen must not block the others.
    const late = deferred();
    const stop = after(RESTORE_LIMIT, () => {
      this.#restoring.clear();
      late.resolve();
    });
    await Promise.race([Promise.all(this.#restoring), late.promise]);
    stop();
    return backend;
  }

  /** Reports the loss of a generation's connection, and starts reconnecting. */
  lose(generation: number, error: unknown): void {
    if (this.state !== "connected" || generation !== this.generation) return;
    this.#stopProbe();
    if (Date.now() - this.#since > STABLE) this.#attempts = 0;
    this.#ready = this.#connectAgain();
    this.#ready.catch(() => {});
    this.#change("reconnecting", error);
  }

  /** Rejects all waiting and later calls with a `ClosedError`. */
  shut(): void {
    this.#stopProbe();
    this.#change("closed");
    this.#closing.abort(closedError());
  }

  /** Closes the backend. Call `shut()` first. */
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

  /** Schedules a probe: only that detects half-open connections. */
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

/** The error for use after `disconnect()`. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use broadcast: it is disconnected, make a new one");
}

/** Wraps an error of a backend's `connect()`, once. */
function connectionError(backend: Backend, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  return cause instanceof RefusedError
    ? new RefusedError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause })
    : new ConnectionError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause });
}
