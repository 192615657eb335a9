/**
 * The `broadcast-channel://` backend: uses the platform's `BroadcastChannel` to communicate between
 * windows, workers and isolates, without a broker.
 *
 * ## URLs
 *
 * `broadcast-channel://`. It has no parameters of its own.
 *
 * ## Delivery
 *
 * Messages reach all listening contexts of the same origin or process: the tabs and workers of a
 * page, the worker threads of a process, the isolates of Deno Deploy. Within the publishing thread
 * nothing is lost. Between threads the platform guarantees neither delivery nor a common order of
 * several publishers, only the order of each. `publish` resolves once the platform has accepted the
 * message, even if no context is listening.
 *
 * The platform's channel has the same name, and messages are strings or `Uint8Array`s, so other
 * programs can use it too. Anything else that they post is ignored.
 *
 * ## Escape hatch
 *
 * None: there is no client.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Tail,
} from "../../core/backend/contract.ts";
import { ClosedError } from "../../core/backend/errors.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";
import { checkOptions, sourceOf, type SourceOptions } from "../../core/backend/kit/source.ts";
import { isBytes } from "../../core/util/realm.ts";

/** The maximum number of open senders. The least recently used are closed first. */
const KEPT = 256;

/**
 * Uses two objects for each channel, since a `BroadcastChannel` does not receive its own messages.
 */
export class BroadcastChannelBackend implements Backend {
  /** The scheme. */
  readonly name = "broadcast-channel";
  /** The address shown in messages. */
  readonly address = "broadcast-channel://";
  /** The capabilities of the backend. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    orderPerPublisher: true,
  };
  /** The senders by channel, least recently used first. */
  readonly #senders = new Map<string, BroadcastChannel>();
  readonly #listeners = new Set<BroadcastChannel>();
  #closed = false;

  /** Posts payloads in order. */
  publish(messages: readonly OutgoingPayload[]): readonly null[] {
    return messages.map(({ channel, payload }) => {
      this.#sender(channel).postMessage(payload);
      return null;
    });
  }

  /** Starts to listen to a channel. */
  tail(channel: string): Promise<Tail> {
    const listener = this.#make(channel);
    const source = new QueueTail(() => {
      this.#listeners.delete(listener);
      listener.close();
    });
    listener.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string" || isBytes(data)) {
        source.push({ kind: "record", payload: data });
      }
    };
    // A message was posted, but could not be deserialized.
    listener.onmessageerror = () => source.push({ kind: "loss", missed: 1 });
    this.#listeners.add(listener);
    return Promise.resolve(source);
  }

  /** Closes all channels. */
  close(): Promise<void> {
    this.#closed = true;
    for (const channel of [...this.#senders.values(), ...this.#listeners]) channel.close();
    this.#senders.clear();
    this.#listeners.clear();
    return Promise.resolve();
  }

  #sender(channel: string): BroadcastChannel {
    const sender = this.#senders.get(channel) ?? this.#make(channel);
    this.#senders.delete(channel);
    this.#senders.set(channel, sender);
    if (this.#senders.size > KEPT) {
      const [oldest, idle] = this.#senders.entries().next().value!;
      this.#senders.delete(oldest);
      idle.close();
    }
    return sender;
  }

  #make(channel: string): BroadcastChannel {
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    const made = new BroadcastChannel(channel);
    // As on brokers, a subscription alone does not keep the process alive.
    (made as { unref?: () => void }).unref?.();
    return made;
  }
}

/**
 * Creates a backend over the platform's `BroadcastChannel`, for `new Broadcast()`.
 *
 * @param options The URL.
 */
export function broadcastChannel(options: SourceOptions = {}): BackendSource {
  const { url } = checkOptions("broadcastChannel", options, { url: true });
  return sourceOf({ schemes: ["broadcast-channel"], url, open });
}

/**
 * Creates the backend of a `broadcast-channel://` URL.
 *
 * @throws {Error} If the platform has no `BroadcastChannel`.
 */
export function open(address: Address): Backend {
  if (typeof globalThis.BroadcastChannel !== "function") {
    throw new Error(`Cannot open "${address}": this platform has no BroadcastChannel`);
  }
  return new BroadcastChannelBackend();
}
