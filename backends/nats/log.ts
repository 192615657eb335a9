/**
 * NATS JetStream: subjects, with a log.
 *
 * ## URLs
 *
 * `nats-stream://…`, with servers, logins, TLS and permissions as for `nats://`. All channels share
 * one stream. The parameter `stream` is its name, by default `broadcaster`. If it does not exist,
 * it is created with these limits:
 *
 * - `retention`: how long events are stored, such as `30m`, `12h` or `7d` (the default). `forever`
 *   or `0` means no limit.
 * - `maxBytes`: the total size of all events, in bytes. No limit by default.
 * - `maxlen`: the number of events that are stored for each channel. No limit by default.
 * - `storage`: `file` (the default) or `memory`.
 * - `replicas`: the number of servers of a cluster that store each event. 1 by default.
 *
 * An existing stream keeps its own limits. It is refused if it cannot hold channels: it must keep
 * messages by limits, acknowledge them, and republish them as described below.
 *
 * A session has three subscriptions besides those of its channels. They count towards the server's
 * `max_subscriptions`. A second connection reads the past, so that pages delay no message. It is
 * opened when it is first needed. If the server permits only one connection, the first one is used.
 *
 * ## Delivery
 *
 * Events of all channels are in one order. No event is lost while the stream stores it, even if a
 * connection is lost. There is a gap if events were removed before they were read (`trimmed`), or
 * if the stream was deleted and created again (`reset`).
 *
 * A server whose machine crashes loses the messages that it had not synced (`sync_interval`). A
 * subscriber that had received some of them gets a gap (`rollback`). Each message carries a unique
 * number, so a later message with the same sequence is recognized as a different one.
 *
 * A stream that starts, stops or elects a leader accepts no messages. Messages wait, up to
 * `timeout`. If a leader accepted messages and lost them, their outcome is unknown two seconds
 * after the stream has another leader. In a cluster, a message with an unknown outcome and no key
 * may still be stored later, after messages that were published since. A message with a key is sent
 * again first, so that a late one is a duplicate.
 *
 * The server does not record the channel of a removed message. So a channel whose own last event
 * was removed gets a gap if any later message was removed. A pattern that resumes has one position
 * for all its channels. With `maxlen`, or after a purge, it may get gaps for channels that it does
 * not match.
 *
 * The channel `chat.room-1` is the subject `broadcaster.chat.room-1`, where the first token is the
 * name of the stream. Messages that other programs publish there are events. Names and patterns are
 * encoded as for `nats://`. The server republishes stored messages on `broadcaster-live.>`, each
 * with its sequence and the sequence of the message before it. So subscribers need no consumers,
 * and detect missed messages. A stream without this republishing is refused. A payload may be as
 * large as the server allows: 1 MiB by default.
 *
 * Headers are NATS headers. Names that start with `Nats-` are refused, since servers interpret
 * them. An idempotency key becomes a `Nats-Msg-Id`, made of the channel and the key. The key is
 * known within the stream's duplicate window. A stream that is created here has a window of 5
 * minutes, or of the retention if that is shorter. Keys survive a restart of the server.
 *
 * ## Escape hatch
 *
 * Pass a `NatsConnection` to the factory: `natsStream({ client })`. The connection is never closed.
 * It reconnects by itself, and events that it loses meanwhile are read from the stream. The library
 * `@nats-io/jetstream` is loaded when the backend opens. Bundlers do not see that, so pass its
 * function `jetstreamManager` too.
 *
 * @module
 */

import type { Address } from "../../core/backend/address.ts";
import type {
  Backend,
  BackendFeatures,
  BackendSource,
  OutgoingPayload,
  Page,
  Payload,
  PayloadOptions,
  ReadOptions,
  ServerFacts,
  Tail,
  TailOptions,
  Target,
} from "../../core/backend/contract.ts";
import { importClient } from "../../core/backend/kit/client_library.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, durationText, sourceOf } from "../../core/backend/kit/source.ts";
import type { Position } from "../../core/backend/position.ts";
import { kindOf } from "../../core/util/kind.ts";
import {
  checkConnection,
  type Dial,
  dialOf,
  dialOver,
  NATS_OPTIONS,
  type NatsOptions,
} from "./dial.ts";
import { factsOf } from "./facts.ts";
import { checkHeaders, lengthOf } from "./headers.ts";
import { metadataOf } from "./log/keys.ts";
import { Past } from "./log/past.ts";
import { Session } from "./log/session.ts";
import type { Limits, Manage } from "./log/store.ts";
import { checkPublish } from "./subject.ts";

export type { NatsConnection } from "./dial.ts";
export type { Manage, NatsOptions };

/** The default retention, in milliseconds. */
const RETENTION = 7 * 24 * 60 * 60 * 1_000;

/** Uses one connection and one stream for any number of channels. */
export class NatsStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "nats-stream";
  /** The servers, as shown in messages. */
  readonly address: string;
  /** The features. */
  readonly features: BackendFeatures = {
    crossProcess: true,
    binary: true,
    patterns: true,
    patternLog: true,
    headers: true,
    keys: true,
  };
  readonly #past: Past;
  readonly #held: RenewedConnection<Session>;

  /**
   * Creates a backend. `connect()` connects it.
   *
   * @param dial Connects to the server.
   * @param manage Creates a manager of streams on a connection.
   * @param limits The name of the stream, and the configuration of a new one.
   */
  constructor(dial: Dial, manage: Manage, limits: Limits) {
    this.address = dial.address;
    const options = { dial, manage, limits, presence: { wasThere: false } };
    const past = this.#past = new Past(options);
    this.#held = new RenewedConnection(() => Session.open(options, past));
  }

  /** `false` once the connection was lost. */
  get connected(): boolean {
    return !this.#held.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#held.count + this.#past.connections;
  }

  /** Opens the connection, and finds or creates the stream. */
  connect(): Promise<void> {
    return this.#held.renew();
  }

  /** The stream's duplicate window, once it is known. */
  get window(): number | undefined {
    return this.#held.current?.writer.window;
  }

  /** Rejects messages that the server would refuse, and keys that it would forget too early. */
  check(channel: string, payload?: Payload, options: PayloadOptions = {}): void {
    const session = this.#held.current;
    const info = session?.link.client.info;
    const { headers, once } = options;
    checkHeaders(this.name, channel, headers, info?.headers);
    checkPublish(channel, payload, info?.max_payload, lengthOf(metadataOf(channel, options)));
    if (once) session?.writer.checkOnce(channel, once);
  }

  /** Publishes each message. The server answers with its sequence. */
  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position | undefined>[] {
    return this.#held.current!.writer.publish(messages);
  }

  /** Opens the live end of a channel or pattern. */
  tail(target: Target, { after }: TailOptions = {}): Promise<Tail> {
    return this.#held.current!.tail(target, after);
  }

  /** Reads a page of a channel or pattern. */
  read(target: Target, options: ReadOptions): Promise<Page> {
    return this.#past.read(this.#held.current!.reader, target, options);
  }

  /** Sends a PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#held.current?.link.probe(signal), this.#past.probe(signal)]);
  }

  /** Facts about the server. */
  describe(): Promise<ServerFacts> {
    return Promise.resolve(factsOf(this.#held.current!.link));
  }

  /** Closes the connections, except the user's. */
  async close(): Promise<void> {
    await Promise.all([this.#held.close(), this.#past.close()]);
  }
}

/** Options for `natsStream()`: the connection, the stream, and the limits of a new stream. */
export interface NatsStreamOptions extends NatsOptions {
  /**
   * The function `jetstreamManager` of `@nats-io/jetstream`, for bundlers and `deno compile`. They
   * do not see that the library is loaded.
   *
   * @default {undefined} The library is loaded when the backend opens.
   */
  readonly jetstreamManager?: Manage | undefined;
  /**
   * The name of the stream: up to 64 letters, digits, `-` and `_`. The name is the first token of
   * all subjects of the stream.
   *
   * @default {"broadcaster"}
   */
  readonly stream?: string | undefined;
  /**
   * How long events are stored: a number of milliseconds, a text with a unit such as `"12h"`, or
   * `"forever"`. 0 also means no limit.
   *
   * @default {"7d"}
   */
  readonly retention?: number | string | undefined;
  /**
   * The number of events that are stored for each channel.
   *
   * @default {undefined} No limit.
   */
  readonly maxlen?: number | undefined;
  /**
   * The total size of all events, in bytes.
   *
   * @default {undefined} No limit.
   */
  readonly maxBytes?: number | undefined;
  /**
   * Where the server stores events.
   *
   * @default {"file"}
   */
  readonly storage?: "file" | "memory" | undefined;
  /**
   * The number of servers of a cluster that store each event.
   *
   * @default {1}
   */
  readonly replicas?: number | undefined;
}

/**
 * The backend of NATS JetStream, for `new Broadcast()`.
 *
 * @param options Options for the connection and the stream, in addition to those of the URL.
 * @throws {TypeError} If the URL is malformed, or the client is not a `NatsConnection`.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { natsStream } from "@broadcaster/broadcaster/nats-stream";
 *
 * const broadcast = new Broadcast(natsStream({ url: "nats-stream://localhost", retention: "1d" }));
 * await broadcast.disconnect();
 * ```
 *
 * @example With a connection of your own
 * ```ts ignore
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { natsStream } from "@broadcaster/broadcaster/nats-stream";
 * import { connect } from "@nats-io/transport-node";
 *
 * const client = await connect();
 * const broadcast = new Broadcast(natsStream({ client, stream: "events" }));
 * ```
 */
export function natsStream(options: NatsStreamOptions = {}): BackendSource {
  const { url, client, jetstreamManager: manage, retention, ...parameters } = checkOptions(
    "natsStream",
    options,
    {
      ...NATS_OPTIONS,
      jetstreamManager: true,
      stream: true,
      retention: true,
      maxlen: true,
      maxBytes: true,
      storage: true,
      replicas: true,
    },
  );
  if (client !== undefined) checkConnection(client);
  if (manage !== undefined && typeof manage !== "function") {
    throw new TypeError(
      `Cannot use jetstreamManager: it must be the function of @nats-io/jetstream, it is ${
        kindOf(manage)
      }`,
    );
  }
  return sourceOf({
    schemes: ["nats-stream"],
    url,
    parameters: { ...parameters, retention: durationText(retention) },
    open: (address) => openWith(address, client, manage),
  });
}

/** Opens the backend of a `nats-stream://` URL. */
export function open(address: Address): Promise<Backend> {
  return openWith(address);
}

async function openWith(
  address: Address,
  client?: NatsOptions["client"],
  manage?: Manage,
): Promise<Backend> {
  const limits = limitsOf(address);
  // Loaded first, since npm installs the connection's package with it.
  const manager = manage ?? await loadManager();
  const dial = client ? dialOver(client, address) : await dialOf(address);
  return new NatsStreamBackend(dial, manager, limits);
}

async function loadManager(): Promise<Manage> {
  const { jetstreamManager } = await importClient<typeof import("@nats-io/jetstream")>(
    "@nats-io/jetstream",
    "natsStream({ client, jetstreamManager })",
  );
  return jetstreamManager;
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
