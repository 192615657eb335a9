/**
 * Those who observe a broadcast: diagnostics channels, the debug log, instrumentation.
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

/** What an observer has begun for a message that is being published. */
export interface Publishing {
  /** Headers that are added, if the broker carries headers. */
  readonly headers?: MessageHeaders | undefined;
  /** Called with the outcome. */
  end(notice: Notices["publish"]): void;
}

/** Hears of what a broadcast does. No method may throw. */
export interface Observer {
  /** A message is being published. */
  publishing?(channel: string): Publishing;
  /** An event has arrived from the broker: it must be delivered before this returns. */
  arrived?(event: Arrived, target: Target, deliver: () => void): void;
  /** The state of the connection has changed. */
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

/** The observers of one broadcast. Without any, an operation costs the question whether there are. */
export class Observers {
  /** The backend, once it is open. */
  readonly backend: () => Backend | undefined;
  readonly #broadcast: object;
  readonly #arrivals: Arrivals;
  #all: readonly Observer[] = [];
  /** It is not known yet who hears. */
  #isLoading = false;
  /** There are observers, or may be. */
  #isObserved = false;
  #lostAt: number | undefined;

  /**
   * @param broadcast What they observe.
   * @param arrivals Where events arrive.
   * @param backend Returns the backend, once it is open.
   */
  constructor(broadcast: object, arrivals: Arrivals, backend: () => Backend | undefined) {
    this.backend = backend;
    this.#broadcast = broadcast;
    this.#arrivals = arrivals;
  }

  /** Loads what the environment asks for. Returns a promise if that takes time. */
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

  /** Adds an observer. The result removes it. */
  add(observer: Observer): () => void {
    this.#use([...this.#all, observer]);
    return () => this.#use(this.#all.filter((other) => other !== observer));
  }

  /** Whether anyone hears of what is published: asked for each message. */
  get hearPublishing(): boolean {
    return this.#isObserved || channels.publish !== undefined && channels.publish.hasSubscribers;
  }

  /** Tells all who hear of an operation. */
  tell<Name extends keyof Notices>(name: Name, notice: Omit<Notices[Name], "broadcast">): void {
    if (!this.#isObserved && !channels[name]?.hasSubscribers) return;
    const whole = { broadcast: this.#broadcast, ...notice } as Notices[Name];
    channels[name]?.publish(whole);
    for (const one of this.#all) {
      (one[name] as ((notice: Notices[Name]) => void) | undefined)?.(whole);
    }
  }

  /** A message is published. */
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

  /** A target is subscribed to. */
  subscribe<Result>(target: unknown, subscribed: Promise<Result>): Promise<Result> {
    const start = performance.now();
    const end = (outcome: { readonly error?: unknown }) =>
      this.tell("subscribe", { target, ...outcome, duration: performance.now() - start });
    inBackground(subscribed.then(() => end({}), (error) => end({ error })));
    return subscribed;
  }

  /** Events may be missing. */
  gap(target: Target, gap: Gap): void {
    this.tell("gap", { channel: String(target), gap });
  }

  /** The state of the connection has changed. */
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

/** Those of broadcasts that are open. */
const observers = new WeakMap<object, Observers>();

/** A broadcast can be observed from now on. */
export function observable(broadcast: object, own: Observers): void {
  observers.set(broadcast, own);
}

/**
 * The observers of a broadcast.
 *
 * @throws {TypeError} If it is none.
 */
export function observersOf(broadcast: object): Observers {
  const found = observers.get(broadcast);
  if (found) return found;
  throw new TypeError("Cannot observe broadcast: it is not a Broadcast of this copy of the module");
}
