/**
 * NATS JetStream: subjects, with a past.
 *
 * ## URLs
 *
 * `nats-stream://…`, with servers, logins and TLS as for `nats://`. All channels
 * share one stream, `broadcaster` unless `stream` names another. If it is not
 * there it is created, with these limits: `retention`, how long events are kept,
 * such as `30m`, `12h` or `7d` (the default), and `forever` or `0` for no limit;
 * `maxBytes`, what all of them may take together; `maxlen`, how many of each
 * channel are kept (both without a limit); `storage`, `file` (the default) or
 * `memory`; `replicas`, on how many servers of a cluster (1). A stream that is
 * there keeps the limits that it has.
 *
 * ## Delivery
 *
 * In one order over all channels, and without loss as long as the stream keeps
 * it, also over a lost connection. What was removed before it was read is told
 * as a gap, as is a stream that was deleted and begun anew. A server that crashes
 * with its machine loses what it had not synced yet (`sync_interval`): a gap to
 * those who had seen some of that, since each message carries a number by which
 * it is told from what later takes its place. Where a channel's
 * last record is gone, a gap is told if others were removed behind it, since
 * whose they were is not known. A pattern that resumes has one position for all
 * its channels; with `maxlen`, or after a purge, it is told of gaps that may
 * concern other ones.
 *
 * The channel `chat.room-1` is the subject `broadcaster.chat.room-1`, with the
 * stream's name before it: what other programs publish there is an event. What a
 * subject cannot hold is written as for `nats://`, as is a pattern narrowed down.
 * The server republishes what it has stored under `broadcaster-live.>`, with its
 * sequence and that of the message before it: subscribers need no consumers, and
 * know what they have missed. So the stream must be one that was created with
 * this republishing; another one is refused. A payload has at most what the
 * server allows: 1 MiB, unless it was set.
 *
 * Headers are the message's; none is called `Nats-…`, since servers act upon those.
 * A key is a `Nats-Msg-Id`, of the channel and the key, and known for as long as the
 * stream's duplicate window: 5 minutes, or the retention if that is shorter, for a
 * stream that is created here. The server reads it from the stream when it restarts.
 *
 * ## Escape hatch
 *
 * Pass a connected `NatsConnection` as `client`: it is used, and never closed. It
 * reconnects by itself; what it loses meanwhile is read from the stream. The
 * library `@nats-io/jetstream` is loaded all the same.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendOptions,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import type { Position } from "../../core/backend/position.ts";
import { type Dial, dialOf } from "./dial.ts";
import { checkHeaders, lengthOf } from "./headers.ts";
import { besidesOf } from "./log/keys.ts";
import { type Manage, Session } from "./log/session.ts";
import type { Limits } from "./log/store.ts";
import { checkPublish } from "./subject.ts";

/** How long events are kept, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;

/** One connection and one stream, however many channels. */
export class NatsStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "nats-stream";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    log: true,
    patterns: true,
    patternLog: true,
    headers: true,
    keys: true,
  };
  readonly #dial: Dial;
  readonly #manage: Manage;
  readonly #limits: Limits;
  readonly #held: RenewedConnection<Session> = new RenewedConnection(() => this.#open());

  /**
   * A backend that connects when it is asked to.
   *
   * @param dial How it connects.
   * @param manage Makes what manages streams.
   * @param limits The stream's name, and what it is created with.
   */
  constructor(dial: Dial, manage: Manage, limits: Limits) {
    this.address = dial.address;
    this.#dial = dial;
    this.#manage = manage;
    this.#limits = limits;
  }

  /** Whether the connection was not lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Opens the connection, and finds or creates the stream. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /** The stream's duplicate window, once it is known. */
  get window(): number | undefined {
    return this.#held.current?.writer.window;
  }

  /** Names, headers and payloads that the server would refuse, and keys that it would forget. */
  check(channel: string, payload?: Payload, options: PayloadOptions = {}): void {
    const session = this.#held.current;
    const info = session?.link.client.info;
    const { headers, once } = options;
    checkHeaders(this.name, channel, headers, info?.headers);
    checkPublish(channel, payload, info?.max_payload, lengthOf(besidesOf(channel, options)));
    if (once) session?.writer.checkOnce(channel, once);
  }

  /** PUB, answered with the sequence. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<Position | undefined>[] {
    return this.#held.current!.writer.publish(channel, payloads, options);
  }

  /** The live end of what a channel, or a pattern, has in the stream. */
  tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    return this.#held.current!.tail(target, after);
  }

  /** A page, from the last record that was seen. */
  read(target: Target, options: ReadOptions): Promise<Page> {
    return this.#held.current!.reader.read(target, options);
  }

  /** PING. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#held.current?.link.probe(signal);
  }

  /** Shuts the socket. */
  close(): Promise<void> {
    return this.#held.close();
  }

  async #open(): Promise<Session> {
    return await Session.open(await this.#dial.connect(), this.#manage, this.#limits);
  }
}

/** Makes the backend of `nats-stream://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const limits = limitsOf(address);
  const { jetstreamManager } = await importClient<typeof import("@nats-io/jetstream")>(
    "@nats-io/jetstream",
  );
  return new NatsStreamBackend(await dialOf(address, options), jetstreamManager, limits);
}

function limitsOf(address: Address): Limits {
  const name = address.parameters.get("stream") ?? "broadcaster";
  if (!/^[\w-]{1,64}$/.test(name)) {
    throw address.invalid("stream", name, "at most 64 letters, digits, - and _");
  }
  const isForever = address.parameters.get("retention") === "forever";
  const retention = isForever ? 0 : address.duration("retention") ?? RETENTION;
  return {
    name,
    max_age: retention * 1_000_000,
    max_bytes: address.count("maxBytes") ?? -1,
    max_msgs_per_subject: address.count("maxlen") ?? -1,
    storage: address.choice("storage", ["file", "memory"]) ?? "file",
    num_replicas: address.count("replicas") ?? 1,
  };
}
