/**
 * The platform's own `BroadcastChannel`: between windows, workers and isolates,
 * without a broker.
 *
 * ## URLs
 *
 * `broadcast-channel://`, without parameters of its own.
 *
 * ## Delivery
 *
 * To every context of the same origin, or process, that listens: the tabs and
 * workers of a page, the worker threads of a process, the isolates of Deno
 * Deploy. Within the thread that publishes nothing is lost; between threads the
 * platform promises neither delivery nor one order of several publishers, only
 * that of each. `publish` resolves once the platform has the message, whoever
 * listens.
 *
 * The platform's channel has the name of ours, and a message is a string or a
 * `Uint8Array`, so other programs can share it. What they post that is neither
 * is no message, and is passed over.
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
  BackendOptions,
  Payload,
  Tail,
} from "../../core/backend/contract.ts";
import { ClosedError } from "../../core/backend/errors.ts";
import { QueueTail } from "../../core/backend/kit/queue_tail.ts";

/** How many channels that were published to last keep an object to do so. */
const KEPT = 256;

/** Two objects for a channel, since one does not hear itself. */
export class BroadcastChannelBackend implements Backend {
  /** The scheme. */
  readonly name = "broadcast-channel";
  /** As it appears in messages. */
  readonly address = "broadcast-channel://";
  /** What it can do. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    orderPerPublisher: true,
  };
  /** Those that were published to last come last. */
  readonly #senders = new Map<string, BroadcastChannel>();
  readonly #listeners = new Set<BroadcastChannel>();
  #closed = false;

  /** Posts the payloads, in order. */
  publish(channel: string, payloads: readonly Payload[]): Promise<void> {
    const sender = this.#sender(channel);
    for (const payload of payloads) sender.postMessage(payload);
    return Promise.resolve();
  }

  /** Listens: from now on what is posted arrives. */
  tail(channel: string): Promise<Tail> {
    const listener = this.#make(channel);
    const source = new QueueTail(() => {
      this.#listeners.delete(listener);
      listener.close();
    });
    listener.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string" || data instanceof Uint8Array) source.push({ payload: data });
    };
    // It was posted, and cannot be received.
    listener.onmessageerror = () => source.push({ cause: "unknown", missed: 1 });
    this.#listeners.add(listener);
    return Promise.resolve(source);
  }

  /** Closes all objects. */
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
    // A subscription alone keeps no process alive that has nothing else to do, as on brokers.
    (made as { unref?: () => void }).unref?.();
    return made;
  }
}

/**
 * Makes the backend of `broadcast-channel://`.
 *
 * @throws {Error} If the platform has no `BroadcastChannel`.
 */
export function open(address: Address, _options: BackendOptions): Backend {
  if (typeof globalThis.BroadcastChannel !== "function") {
    throw new Error(`Cannot open "${address}": this platform has no BroadcastChannel`);
  }
  return new BroadcastChannelBackend();
}
