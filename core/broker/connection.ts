/**
 * The connection to a broker: opened at first use, probed, and reopened with backoff.
 *
 * @module
 */

import type { Backend } from "../backend/contract.ts";
import { ClosedError, ConnectionError, reasonOf, RefusedError } from "../backend/errors.ts";
import type { BroadcastState } from "../backend/state.ts";
import { unlessAborted } from "../util/abort.ts";
import { inBackground } from "../util/background.ts";
import { backoff, longestPause } from "../util/backoff.ts";
import { Pace } from "../util/pace.ts";
import { after, deferred, LONGEST } from "../util/timer.ts";

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

/** A limit on how long a call is retried. */
export interface Deadline {
  /** The limit in milliseconds. */
  readonly limit: number;
  /** The time of `performance.now()` when it is reached. */
  readonly at: number;
}

/** Creates a deadline that starts now. */
export function deadlineIn(limit: number): Deadline {
  return { limit, at: performance.now() + limit };
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
  /** The number of connections opened so far. Losses of an earlier connection are ignored. */
  generation = 0;
  /** The time of `Date.now()` at which the state was entered. */
  since: number = Date.now();
  /** The latest reason why the connection was lost or could not be opened. */
  error: unknown;
  /** The pace at which channels are opened, reopened and closed. */
  readonly pace: Pace = new Pace();
  readonly #options: ConnectionOptions;
  readonly #closing = new AbortController();
  /** Aborts with a `ClosedError` on `shut()`. */
  readonly closing: AbortSignal = this.#closing.signal;
  #opening: Promise<Backend> | undefined;
  #ready: Promise<Backend> | undefined;
  /** The lost tails that are not open yet. */
  readonly #restoring = new Set<() => void>();
  #restored: ReturnType<typeof deferred> | undefined;
  #warning: Error | undefined;
  #attempts = 0;
  #asking: Promise<void> | undefined;
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
    if (this.state === "connected" && this.backend!.connected === false) {
      // The backend has noticed the loss first. Its tails have not reported the reason yet.
      this.lose(
        this.generation,
        new ConnectionError(`the connection to ${this.address} was lost`),
      );
    }
    return this.state === "connected";
  }

  /** `true` while connected with every tail open. */
  get whole(): boolean {
    return this.up && this.#restoring.size === 0;
  }

  /**
   * Resolves with the connected backend. Connects at first use, and waits while reconnecting.
   *
   * @throws {ClosedError} If the connection is closed, or is closed before it is open.
   * @throws {ConnectionError} If the first connection cannot be opened.
   */
  ready(): Promise<Backend> {
    if (this.up) return Promise.resolve(this.backend!);
    if (this.state === "closed") return Promise.reject(closedError());
    this.#ready ??= this.#connectFirst();
    return this.#ready;
  }

  /** Same as `ready()`, but paced, since many callers may wait. */
  async readyInTurn(): Promise<Backend> {
    for (;;) {
      const backend = await this.ready();
      await this.pace.enter();
      if (this.up) return backend;
    }
  }

  /**
   * Same as `ready()`, but waits for a lost connection only until a deadline.
   *
   * @param action The action that needs the connection, as shown in the message.
   * @throws {ConnectionError} If the connection is still lost at the deadline.
   */
  async readyBy({ limit, at }: Deadline, action: string): Promise<Backend> {
    const ready = this.ready();
    if (this.state !== "reconnecting") return await ready;
    const late = new AbortController();
    const timer = setTimeout(() => {
      const message = `Cannot ${action}: not connected to ${this.address} for ${limit / 1_000} s`;
      late.abort(new ConnectionError(message, { cause: this.error }));
    }, Math.min(at - performance.now(), LONGEST));
    try {
      return await unlessAborted(late.signal, ready);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Holds publishing back until a lost tail is open again, so that a process receives its own
   * messages after an outage.
   *
   * @returns A function to call once the tail is open again or has failed.
   */
  holdPublishing(): () => void {
    const release = () => {
      if (this.#restoring.delete(release) && this.#restoring.size === 0) this.#release();
    };
    this.#restoring.add(release);
    return release;
  }

  /** Resolves once connected, with every lost tail reopened or failed. */
  async restored(): Promise<Backend> {
    const backend = await this.ready();
    if (this.#restoring.size === 0) return backend;
    this.#restored ??= deferred();
    // A channel whose tail does not reopen must not block the others.
    const stop = after(RESTORE_LIMIT, () => this.#release());
    await this.#restored.promise;
    stop();
    return backend;
  }

  #release(): void {
    this.#restoring.clear();
    this.#restored?.resolve();
    this.#restored = undefined;
  }

  /** Reports the loss of a generation's connection, and starts reconnecting. */
  lose(generation: number, error: unknown): void {
    if (this.state !== "connected" || generation !== this.generation) return;
    this.#stopProbe();
    this.#asking = undefined;
    // The backoff restarts only if the connection lasted longer than the pause before it. A server
    // that accepts and then closes connections is retried less and less often.
    if (Date.now() - this.since > longestPause(this.#attempts)) this.#attempts = 0;
    this.#ready = this.#connectAgain();
    this.#ready.catch(() => {});
    this.#change("reconnecting", error);
  }

  /** Reports a new warning of the backend, once. */
  warn(): void {
    const warning = this.backend?.warning;
    if (warning === this.#warning) return;
    this.#warning = warning;
    if (warning) this.#options.onState(this.state, warning);
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
    this.#ready = undefined;
    this.#change("connected");
    this.#watch();
    return backend;
  }

  /** Schedules a probe, to detect half-open connections. */
  #watch(): void {
    const { probe } = this.#options;
    if (!this.backend!.probe || probe === 0) return;
    this.#stopProbe = after(probe, () => inBackground(this.ask()));
  }

  /**
   * Resolves once the broker has answered on every connection. Otherwise the connection is lost. A
   * backend without connections always answers.
   */
  ask(): Promise<void> {
    const { backend } = this;
    if (!backend?.probe) return Promise.resolve();
    return this.#asking ??= this.#ask(backend, this.generation);
  }

  async #ask(backend: Backend, generation: number): Promise<void> {
    this.#stopProbe();
    const limit = new AbortController();
    const stop = after(
      Math.min(this.#options.probe || PROBE_LIMIT, PROBE_LIMIT),
      () =>
        limit.abort(
          new ConnectionError(`Cannot reach ${backend.address}: a probe was not answered`),
        ),
    );
    this.#stopProbe = stop;
    try {
      await backend.probe!(limit.signal);
      if (this.generation === generation && this.state === "connected") this.#watch();
    } catch (error) {
      this.lose(generation, error);
      throw error;
    } finally {
      stop();
      if (this.generation === generation) this.#asking = undefined;
    }
  }

  #change(state: BroadcastState, error?: unknown): void {
    if (this.state === state || this.state === "closed") return;
    this.state = state;
    this.since = Date.now();
    this.error = error;
    this.#options.onState(state, error);
  }
}

/** The error for use after `disconnect()`. */
export function closedError(): ClosedError {
  return new ClosedError("Cannot use broadcast: it is disconnected, make a new one");
}

/** Wraps an error of a backend's `connect()`, unless it is wrapped already. */
function connectionError(backend: Backend, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  return cause instanceof RefusedError
    ? new RefusedError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause })
    : new ConnectionError(`Cannot connect to ${backend.address}: ${reasonOf(cause)}`, { cause });
}
