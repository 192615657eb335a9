/**
 * What the cases of the suite share.
 *
 * @module
 */

import type { Backend, BackendFeatures } from "../../core/backend/mod.ts";
import {
  Broadcast,
  type BroadcastEvent,
  type BroadcastOptions,
  type Codec,
  type Subscription,
  text,
} from "../../mod.ts";

/** Registers a case with a test runner. */
export type Runner = (name: string, body: () => Promise<void>) => void;

/** The options that a case opens a broadcast with. */
export type OpenOptions = BroadcastOptions & { readonly codec?: Codec<unknown> };

/** What is tested. */
export interface Harness {
  /** Stands before the name of each case. */
  readonly name: string;
  /** What the backend can do: decides alone what is skipped. */
  readonly features: BackendFeatures;
  /** The longest payload that it carries, in bytes. */
  readonly limit: number;
  /** A URL or a new backend: each time of the same broker. */
  readonly target: () => string | Backend;
  /** What may follow in a name of a channel; without it, whatever some broker reserves. */
  readonly names?: readonly string[] | undefined;
  /** Removes what the broker stores of channels that no case uses any more. */
  readonly clean?: ((channels: readonly string[]) => Promise<unknown>) | undefined;
}

/** The suite as its cases see it. */
export interface Suite extends Harness {
  /**
   * Registers a case, which gets an opener whose broadcasts are disconnected
   * when it ends, and a channel name of its own.
   */
  readonly test: (name: string, body: (scope: Scope) => Promise<void>) => void;
}

/** What a case works with. */
export interface Scope {
  /** Opens a broadcast that is disconnected when the case ends. */
  readonly open: (options?: OpenOptions) => Broadcast<Record<string, unknown>>;
  /** A channel that no other case uses. */
  readonly channel: string;
  /** Whether two broadcasts reach each other. */
  readonly crossProcess: boolean;
}

/** A case that takes longer has hung. */
const DEADLINE = 90_000;

/** The channels that were made up since the last case ended. */
const made: string[] = [];
let channels = 0;

/** Binds a runner and a harness together. */
export function prepare(runner: Runner, harness: Harness): Suite {
  return {
    ...harness,
    test: (name, body) =>
      runner(`${harness.name}: ${name}`, async () => {
        const opened: Broadcast<Record<string, unknown>>[] = [];
        const scope: Scope = {
          channel: uniqueChannel(),
          crossProcess: harness.features.crossProcess,
          open: (options) => {
            const codec = text() as Codec<unknown>;
            const broadcast = new Broadcast<Record<string, unknown>>(harness.target(), {
              codec,
              ...options,
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

/** A channel that no other case, and no other run, uses. */
export function uniqueChannel(): string {
  const name = `test-${Date.now().toString(36)}-${crypto.randomUUID().slice(0, 8)}-${channels++}`;
  made.push(name);
  return name;
}

/** A channel whose name a case has made up by itself, so that it is cleaned as well. */
export function alsoUsed(name: string): string {
  made.push(name);
  return name;
}

/** Settles as the promise does, or rejects when it takes too long. */
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

/** The next so many events; the subscription goes on. */
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

/** The messages of the next so many events. */
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

/** Publishes in one go. */
export async function publishAll(
  broadcast: ReturnType<Scope["open"]>,
  channel: string,
  messages: readonly string[],
): Promise<void> {
  await Promise.all(messages.map((message) => broadcast.publish(channel, message)));
}

/** The ids of the newest events: not every publisher knows them. */
export async function idsOf(
  broadcast: ReturnType<Scope["open"]>,
  channel: string,
): Promise<string[]> {
  return (await broadcast.history(channel)).map(({ id }) => id);
}
