/**
 * The types and helpers that the cases of the suite share.
 *
 * @module
 */

import type { Backend, BackendFeatures, BackendSource } from "../../backends/mod.ts";
import {
  Broadcast,
  type BroadcastEvent,
  type BroadcastOptions,
  type Subscription,
  text,
} from "../../mod.ts";

/** Registers a case with a test runner. */
export type Runner = (name: string, body: () => Promise<void>) => void;

/** Options of the broadcasts that cases open. */
export type OpenOptions = BroadcastOptions<unknown>;

/** The features of a backend, and whether it has a log. */
export interface TestedFeatures extends BackendFeatures {
  /** The backend has a log, that is, a method `read()`. */
  readonly log?: boolean;
}

/** The backend to test. */
export interface Harness {
  /** The prefix of the name of each case. */
  readonly name: string;
  /** The capabilities of the backend. They alone decide which cases are skipped. */
  readonly features: TestedFeatures;
  /** The maximum size of a payload, in bytes. */
  readonly limit: number;
  /** Returns a URL, a source or a new backend, each time of the same broker. */
  readonly target: () => string | BackendSource | Backend;
  /**
   * Suffixes that are valid in channel names.
   *
   * @default {NAMES} Names that some broker gives a special meaning.
   */
  readonly names?: readonly string[] | undefined;
  /** Deletes the data of channels that no case uses any more. */
  readonly clean?: ((channels: readonly string[]) => Promise<unknown>) | undefined;
}

/** The suite, as passed to its cases. */
export interface Suite extends Harness {
  /**
   * Registers a case. Its broadcasts are disconnected when it ends.
   */
  readonly test: (name: string, body: (scope: Scope) => Promise<void>) => void;
}

/** The context of a case. */
export interface Scope {
  /** Opens a broadcast that is disconnected when the case ends. */
  readonly open: (options?: OpenOptions) => Broadcast<Record<string, unknown>>;
  /** A channel that no other case uses. */
  readonly channel: string;
  /** `true` if two broadcasts reach each other. */
  readonly crossProcess: boolean;
}

/** The timeout of a case, in milliseconds. */
const DEADLINE = 90_000;

/** The channels used since the last case ended. */
const made: string[] = [];
let channels = 0;

/** Combines a runner and a harness. */
export function prepare(runner: Runner, harness: Harness): Suite {
  return {
    ...harness,
    test: (name, body) =>
      runner(`${harness.name}: ${name}`, async () => {
        const opened: Broadcast<Record<string, unknown>>[] = [];
        const scope: Scope = {
          channel: uniqueChannel(),
          crossProcess: harness.features.crossProcess,
          open: ({ codec = text(), ...options } = {}) => {
            const broadcast = new Broadcast<Record<string, unknown>>(harness.target(), {
              ...options,
              codec,
            });
            opened.push(broadcast);
            return broadcast;
          },
        };
        try {
          await within(body(scope));
        } finally {
          await within(Promise.all(opened.map((broadcast) => broadcast.disconnect())));
          const used = made.splice(0);
          await harness.clean?.(used);
        }
      }),
  };
}

/** A new channel name, unique to this case and run. */
export function uniqueChannel(): string {
  const name = `test-${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}-${channels++}`;
  made.push(name);
  return name;
}

/** Registers a channel name that a case has chosen itself, so that it is cleaned up as well. */
export function alsoUsed(name: string): string {
  made.push(name);
  return name;
}

/** Settles like the promise, or rejects after `limit` milliseconds. */
export async function within<Value>(promise: Promise<Value>, limit = DEADLINE): Promise<Value> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing happened for ${limit} ms`)), limit);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the next `count` events, without ending the subscription. */
export async function take(
  subscription: Subscription<unknown>,
  count: number,
): Promise<BroadcastEvent<unknown>[]> {
  const events: BroadcastEvent<unknown>[] = [];
  for await (const event of subscription.values({ preventCancel: true })) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

/** Reads the messages of the next `count` events. */
export async function messages(
  subscription: Subscription<unknown>,
  count: number,
): Promise<unknown[]> {
  return (await take(subscription, count)).map(({ message }) => message);
}

/** Numbered texts. */
export function numbered(count: number, prefix = "m"): string[] {
  return Array.from({ length: count }, (_, number) => `${prefix}${number}`);
}

/** Publishes all messages in one turn of the event loop. */
export async function publishAll(
  broadcast: ReturnType<Scope["open"]>,
  channel: string,
  messages: readonly string[],
): Promise<void> {
  await Promise.all(messages.map((message) => broadcast.publish(channel, message)));
}

/** The ids of the newest events, from the history: not every backend reports them to publishers. */
export async function idsOf(
  broadcast: ReturnType<Scope["open"]>,
  channel: string,
): Promise<string[]> {
  return (await broadcast.history(channel)).map(({ id }) => id);
}
