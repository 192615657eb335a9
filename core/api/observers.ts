/**
 * Observers of a broadcast: diagnostics channels, the debug log, instrumentation.
 *
 * @module
 */

import type { Backend, Target } from "../backend/contract.ts";
import type { Gap } from "../backend/event.ts";
import type { MessageHeaders } from "../backend/headers.ts";
import type { BroadcastState } from "../backend/state.ts";
import type { Arrivals, Arrived } from "../fanout/arrivals.ts";
import { inBackground } from "../util/background.ts";
import { variable } from "../util/environment.ts";
import { channels, loadDiagnostics, type Notices } from "./diagnostics.ts";

/** An observer's view of one message that is being published. */
export interface Publishing {
  /** Headers to add, if the broker supports headers. */
  readonly headers?: MessageHeaders | undefined;
  /** Called with the outcome. */
  end(notice: Notices["publish"]): void;
}

/** Observes the operations of a broadcast. No method may throw. */
export interface Observer {
  /** Called when a message is published. */
  publishing?(channel: string): Publishing;
  /** Called when an event has arrived from the broker. Must call `deliver` before it returns. */
  arrived?(event: Arrived, target: Target, deliver: () => void): void;
  /** Called when the state of the connection has changed. */
  stateChanged?(state: BroadcastState, error: unknown): void;
  /** See `Notices`. */
  publish?(notice: Notices["publish"]): void;
  /** See `Notices`. */
  subscribe?(notice: Notices["subscribe"]): void;
  /** See `Notices`. */
  gap?(notice: Notices["gap"]): void;
  /** See `Notices`. */
  reconnect?(notice: Notices["reconnect"]): void;
}

/** The observers of one broadcast. Without any, an operation only checks that there are none. */
export class Observers {
  /** The backend, once it is open. */
  readonly backend: () => Backend | undefined;
  readonly #broadcast: object;
  readonly #arrivals: Arrivals;
  #all: readonly Observer[] = [];
  /** Whether observers are still being loaded. */
  #isLoading = false;
  /** Whether there are observers, or may be. */
  #isObserved = false;
  #lostAt: number | undefined;

  /**
   * @param broadcast The observed broadcast.
   * @param arrivals The hook for arriving events.
   * @param backend Returns the backend, once it is open.
   */
  constructor(broadcast: object, arrivals: Arrivals, backend: () => Backend | undefined) {
    this.backend = backend;
    this.#broadcast = broadcast;
    this.#arrivals = arrivals;
  }

  /**
   * Loads the observers that the environment enables. Returns a promise if loading is asynchronous.
   */
  load(): Promise<unknown> | undefined {
    const log = isDebugged()
      ? import("./debug.ts").then(async ({ openLog }) => this.add(await openLog()))
      : undefined;
    const loading = loadDiagnostics();
    if (!log && !loading) return undefined;
    this.#isLoading = this.#isObserved = true;
    return Promise.all([log, loading]).finally(() => {
      this.#isLoading = false;
      this.#use(this.#all);
    });
  }

  /** Adds an observer. Returns a function that removes it. */
  add(observer: Observer): () => void {
    this.#use([...this.#all, observer]);
    return () => this.#use(this.#all.filter((other) => other !== observer));
  }

  /** Whether published messages are observed. Read for each message. */
  get hearPublishing(): boolean {
    return this.#isObserved || channels.publish !== undefined && channels.publish.hasSubscribers;
  }

  /** Notifies all observers of an operation. */
  tell<Name extends keyof Notices>(name: Name, notice: Omit<Notices[Name], "broadcast">): void {
    if (!this.#isObserved && !channels[name]?.hasSubscribers) return;
    const whole = { broadcast: this.#broadcast, ...notice } as Notices[Name];
    channels[name]?.publish(whole);
    for (const one of this.#all) {
      (one[name] as ((notice: Notices[Name]) => void) | undefined)?.(whole);
    }
  }

  /** Publishes a message, and notifies observers. */
  publish(
    channel: string,
    publish: (added: MessageHeaders | undefined) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const start = performance.now();
    const begun = this.#all.flatMap((one) => one.publishing?.(channel) ?? []);
    const added = begun.map(({ headers }) => headers).filter((one) => one !== undefined);
    const published = publish(added.length > 0 ? Object.assign({}, ...added) : undefined);
    const end = (outcome: { readonly id?: string | undefined; readonly error?: unknown }) => {
      const notice = { channel, ...outcome, duration: performance.now() - start };
      for (const one of begun) one.end({ broadcast: this.#broadcast, ...notice });
      this.tell("publish", notice);
    };
    inBackground(published.then((id) => end({ id }), (error) => end({ error })));
    return published;
  }

  /** Waits for a subscription, and notifies observers. */
  subscribe<Result>(target: unknown, subscribed: Promise<Result>): Promise<Result> {
    const start = performance.now();
    const end = (outcome: { readonly error?: unknown }) =>
      this.tell("subscribe", { target, ...outcome, duration: performance.now() - start });
    inBackground(subscribed.then(() => end({}), (error) => end({ error })));
    return subscribed;
  }

  /** Notifies observers of a gap. */
  gap(target: Target, gap: Gap): void {
    this.tell("gap", { channel: String(target), gap });
  }

  /** Notifies observers of a new state of the connection. */
  stateChanged(state: BroadcastState, error: unknown): void {
    for (const one of this.#all) one.stateChanged?.(state, error);
    if (state === "reconnecting") {
      this.#lostAt = performance.now();
      this.tell("reconnect", { state, error });
    } else if (this.#lostAt !== undefined) {
      const duration = performance.now() - this.#lostAt;
      this.#lostAt = undefined;
      if (state === "connected") this.tell("reconnect", { state, duration });
    }
  }

  #use(all: readonly Observer[]): void {
    this.#all = all;
    this.#isObserved = all.length > 0 || this.#isLoading;
    const heard = all.filter((one) => one.arrived);
    this.#arrivals.observe = heard.length === 0
      ? undefined
      : (event, target, deliver) =>
        heard.reduce((next, one) => () => one.arrived!(event, target, next), deliver)();
  }
}

/** Whether `DEBUG` or `NODE_DEBUG` names the library, as the package `debug` and Node read them. */
function isDebugged(): boolean {
  return /(^|[\s,])(\*|broadcaster(:\*)?)($|[\s,])/i.test(
    `${variable("DEBUG") ?? ""},${variable("NODE_DEBUG") ?? ""}`,
  );
}

/** The observers of open broadcasts. */
const observers = new WeakMap<object, Observers>();

/** Makes a broadcast observable. */
export function observable(broadcast: object, own: Observers): void {
  observers.set(broadcast, own);
}

/**
 * The observers of a broadcast.
 *
 * @throws {TypeError} If the argument is not a broadcast.
 */
export function observersOf(broadcast: object): Observers {
  const found = observers.get(broadcast);
  if (found) return found;
  throw new TypeError("Cannot observe broadcast: it is not a Broadcast of this copy of the module");
}
