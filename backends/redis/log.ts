/**
 * Redis Streams: pub/sub with a log.
 *
 * ## URLs
 *
 * `redis-stream://[[user][:password]@]host[:port][/database][?maxlen=N]`, or `rediss-stream://` for
 * TLS. The default port is 6379. `maxlen` is the approximate number of events that each channel
 * keeps: the server removes whole blocks, some hundred events late. The default is 10,000, and 0
 * keeps all. Everything else is the same as for `redis://`, including `redis-stream+unix://`.
 *
 * ## Delivery
 *
 * Events arrive in the order in which the server received the messages. Nothing is lost while the
 * stream keeps the entries, even if a connection is lost. There is a gap if entries were removed
 * before they were read, or if the stream was deleted or recreated. A subscriber that has seen
 * nothing of the stream yet gets no such gap, since it cannot distinguish the two streams. A server
 * that does not persist its data, or a failover to a replica that lags, loses entries. Every
 * subscriber that has seen one of them gets a gap.
 *
 * A channel is the stream of that name, and an event is an entry with the field `message`: other
 * programs may `XADD` and `XREAD` it. Its other fields are the headers. Entries without that field
 * are skipped. With each batch, a message on `<channel>:wake` is published, so that subscribers
 * read at once. If a message of up to 4 KiB is published alone, its wake carries it, and the id
 * before it. A subscriber that has seen that id delivers the message without a read. Entries of
 * other programs that publish no wake are found within 50 ms, or 0.2 ms for each channel that the
 * process subscribes to, if that is longer. Unlike in pub/sub, channels of different databases are
 * different. A key that is not a stream is refused.
 *
 * A message with an `idempotencyKey` is published by a script. It stores the key as
 * `<channel>:broadcaster-key:<key>` for its lifetime, unless the server evicts it. The key is
 * percent-encoded. The user needs `+eval`, `+get` and `+set` for that.
 *
 * In a cluster, a stream is stored at the owner of its slot, and moves with the slot without loss.
 * Wakes are sharded channels of the same slot, named `{<channel>}:wake` unless the channel itself
 * has braces. Keys are named in the same way. While a master cannot be reached, publishing waits.
 * Messages with a key also wait while their slot moves.
 *
 * Publishing waits for up to `timeout` while the server has no memory, is a replica, or temporarily
 * cannot store for another reason. Reading does not wait. An entry of another program with an id
 * beyond 2^53 ends the subscriptions of its channel. Later messages of the channel are refused
 * until the stream is deleted.
 *
 * ## Permissions
 *
 * On Deno, the same as for `redis://`. At the server, a user needs `+xadd`, `+xrange`,
 * `+xrevrange`, `+xread`, `+xlen`, `+xinfo|stream`, `+publish`, `+subscribe`, `+unsubscribe`, the
 * keys of the channels, and the pub/sub channels of their wakes (`&*:wake`); in a cluster also the
 * rights for `redis://`. Wakes carry messages for users with `+eval`. Anyone who may publish a wake
 * can forge one. It is delivered, and reported as a gap by the next event or within 50 ms.
 *
 * ## Escape hatch
 *
 * Use {@linkcode redisStream} with a `Redis` or a `Cluster` of ioredis. The backend's own
 * connections use its settings. The client itself is never used or closed.
 *
 * @example
 * ```ts
 * import { Broadcast } from "@broadcaster/broadcaster";
 * import { redisStream } from "@broadcaster/broadcaster/redis-stream";
 * import { Redis } from "ioredis";
 *
 * const client = new Redis("redis://localhost:6379", { lazyConnect: true });
 * const broadcast = new Broadcast(redisStream({ client, maxlen: 1_000 }));
 * ```
 *
 * @module
 */

import type { Redis } from "ioredis";
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
} from "../../core/backend/contract.ts";
import { RefusedError } from "../../core/backend/errors.ts";
import { RenewedConnection } from "../../core/backend/kit/renewed_connection.ts";
import { checkOptions, sourceOf } from "../../core/backend/kit/source.ts";
import type { Position } from "../../core/backend/position.ts";
import { clientsOf } from "./clients.ts";
import { redirectionOf } from "./errors.ts";
import { factsOf } from "./facts.ts";
import { prefixed } from "./link.ts";
import { checkStream, FEATURES } from "./log/features.ts";
import { keyNameOf } from "./log/keys.ts";
import { Session } from "./log/session.ts";
import { WAKES } from "./log/writer.ts";
import { checkRedis, REDIS_OPTIONS, type RedisClient, type RedisOptions } from "./options.ts";

export type { RedisClient, RedisOptions } from "./options.ts";

/** The default of `maxlen`. */
const MAXLEN = 10_000;

/** Options for Redis Streams. */
export interface RedisStreamOptions extends RedisOptions {
  /**
   * The approximate number of events that each channel keeps. The server removes whole blocks, some
   * hundred events late. 0 keeps all.
   *
   * @default {10_000}
   */
  readonly maxlen?: number | undefined;
}

/**
 * Redis Streams, for `new Broadcast()`.
 *
 * @param options The URL, or a client of ioredis, and the parameters of the URL.
 * @throws {TypeError} If the client is not one of ioredis, or the URL is malformed.
 *
 * @example
 * ```ts
 * import { redisStream } from "@broadcaster/broadcaster/redis-stream";
 *
 * const source = redisStream({ url: "redis-stream://localhost:6379", maxlen: 1_000 });
 * ```
 */
export function redisStream(options: RedisStreamOptions = {}): BackendSource {
  const { url, client, ...parameters } = checkOptions("redisStream", options, {
    ...REDIS_OPTIONS,
    maxlen: true,
  });
  checkRedis(client);
  return sourceOf({
    schemes: ["redis-stream", "rediss-stream", "redis-stream+unix"],
    url,
    parameters,
    open: (address) => open(address, client),
  });
}

/**
 * Opens the backend of `redis-stream://` and `rediss-stream://`.
 *
 * @param address The URL.
 * @param client A client of ioredis, whose settings replace the servers of the URL.
 */
export async function open(address: Address, client?: RedisClient): Promise<Backend> {
  const maxlen = address.count("maxlen", 0) ?? MAXLEN;
  const { address: shown, make, seeds, ...clients } = await clientsOf(address, client);
  const prefix = clients.keyPrefix + clients.prefix;
  if (!seeds) return new RedisStreamBackend(shown, make, { maxlen, prefix });
  const { RedisClusterStreamBackend } = await import("./log/cluster.ts");
  return new RedisClusterStreamBackend(shown, make, seeds, { maxlen, prefix });
}

/** Uses one connection for commands and one for wakes, for any number of channels. */
class RedisStreamBackend implements Backend {
  readonly name = "redis-stream";
  readonly address: string;
  readonly features: BackendFeatures = FEATURES;
  readonly #prefix: string;
  readonly #session: RenewedConnection<Session>;

  /**
   * @param address The servers, as shown in messages.
   * @param make Creates a client, without connecting it.
   * @param options The maximum length of streams, and the prefix of their keys.
   */
  constructor(
    address: string,
    make: () => Redis,
    { maxlen, prefix }: { readonly maxlen: number; readonly prefix: string },
  ) {
    this.address = address;
    this.#prefix = prefix;
    const options = { maxlen, wakes: WAKES, keyName: keyNameOf };
    this.#session = new RenewedConnection(() => Promise.resolve(new Session(make, options)));
  }

  get connected(): boolean {
    return !this.#session.lost;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#session.current?.connections ?? 0;
  }

  /** Opens the connection for commands. The other one is opened with the first tail. */
  async connect(): Promise<void> {
    await this.#session.renew();
    await this.#current.ready;
  }

  check(channel: string, _payload?: Payload, options?: PayloadOptions): void {
    checkStream(channel, options, keyNameOf);
  }

  publish(messages: readonly OutgoingPayload[]): readonly Promise<Position>[] {
    return this.#current.writer.publish(prefixed(this.#prefix, messages)).map(alone);
  }

  tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    return alone(this.#current.tail(this.#prefix + channel, after));
  }

  read(channel: string, options: ReadOptions): Promise<Page> {
    return alone(this.#current.reader.read(this.#prefix + channel, options));
  }

  async probe(signal: AbortSignal): Promise<void> {
    await this.#session.current?.probe(signal);
  }

  async describe(): Promise<ServerFacts> {
    return await factsOf(this.#current.commands);
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  get #current(): Session {
    return this.#session.current!;
  }
}

/** Explains a redirection, if the server turns out to be a node of a cluster. */
function alone<Value>(asked: Promise<Value>): Promise<Value> {
  return asked.catch((error) => {
    if (redirectionOf(error) === undefined) throw error;
    const message = "the server is a node of a cluster, add cluster=true to the URL";
    throw new RefusedError(message, { cause: error });
  });
}
