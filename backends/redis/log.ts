/**
 * Redis Streams: pub/sub with a log.
 *
 * ## URLs
 *
 * `redis-stream://[[user][:password]@]host[:port][/database][?maxlen=N]`, or `rediss-stream://`
 * for TLS. The default port is 6379. `maxlen` is the number of events that each channel keeps,
 * approximately: the server removes whole blocks, some hundred events late. The default is 10,000,
 * and 0 keeps all. All else is written as for `redis://`, also `redis-stream+unix://`.
 *
 * ## Delivery
 *
 * In the order in which the server received the messages, and without loss as long as the stream
 * keeps them, also after a lost connection. Entries that were removed before they were read are a
 * gap, and so is a stream that was deleted or recreated; but not to a subscriber that has seen
 * nothing of the stream yet, since it cannot tell the two apart. A server that does not persist its
 * data, or a failover to a replica that lags, loses entries: a gap to every subscriber that has
 * seen one of them.
 *
 * A channel is the stream of that name, and an event is an entry with the field `message`: other
 * programs may `XADD` and `XREAD` it. Its other fields are the headers. Entries without that field
 * are skipped. With each batch `<channel>:wake` is published, so that subscribers read at once. The
 * wake of a message of up to 4 KiB that is published alone carries it, and the id before it: a
 * subscriber that has seen that one delivers it without a read. Entries of other programs that
 * publish no wake are found within 50 ms, or 0.2 ms for each channel that the process subscribes to,
 * if that is longer. Unlike in pub/sub, channels of different databases are different. A key that is
 * not a stream is refused.
 *
 * A message with an `idempotencyKey` is published by a script, which stores the key as
 * `<channel>:broadcaster-key:<key>` for its lifetime, unless the server evicts it. The key is
 * percent-encoded. A user needs `+eval`, `+get` and `+set` for that.
 *
 * In a cluster a stream is stored at the owner of its slot, and moves with the slot without loss.
 * Wakes are sharded channels of the same slot, named `{<channel>}:wake` unless the channel has
 * braces itself; keys are named alike. While a master cannot be reached, publishing waits; messages
 * with a key wait while their slot moves, too.
 *
 * Publishing waits while the server has no memory, is a replica, or cannot store for another passing
 * reason, for up to `timeout`; reading does not. An entry of another program with an id beyond 2^53
 * ends the subscriptions of its channel, whose later messages are refused, until the stream is
 * deleted.
 *
 * ## Permissions
 *
 * On Deno as for `redis://`. At the server, a user needs `+xadd`, `+xrange`, `+xrevrange`, `+xread`,
 * `+xlen`, `+xinfo|stream`, `+publish`, `+subscribe`, `+unsubscribe`, the keys of the channels, and
 * the pub/sub channels of their wakes (`&*:wake`); in a cluster also what `redis://` needs there.
 * Wakes carry messages for users with `+eval`. Whoever may publish a wake can forge one, which is
 * delivered, and told as a gap by the next event or within 50 ms.
 *
 * ## Escape hatch
 *
 * Use {@linkcode redisStream} with a `Redis` or a `Cluster` of ioredis. Its settings are used for
 * connections of the backend's own; the client itself is never used or closed.
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
   * The number of events that each channel keeps, approximately: the server removes whole blocks,
   * some hundred events late. 0 keeps all.
   *
   * @default {10_000}
   */
  readonly maxlen?: number | undefined;
}

/**
 * Redis Streams, to be given to `new Broadcast()`.
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
 * Makes the backend of `redis-stream://` and `rediss-stream://`.
 *
 * @param address The URL.
 * @param client A client of ioredis whose settings are used in place of the URL's servers.
 */
export async function open(address: Address, client?: RedisClient): Promise<Backend> {
  const maxlen = address.count("maxlen", 0) ?? MAXLEN;
  const { address: shown, make, seeds, ...clients } = await clientsOf(address, client);
  const prefix = clients.keyPrefix + clients.prefix;
  if (!seeds) return new RedisStreamBackend(shown, make, { maxlen, prefix });
  const { RedisClusterStreamBackend } = await import("./log/cluster.ts");
  return new RedisClusterStreamBackend(shown, make, seeds, { maxlen, prefix });
}

/** One connection for commands and one for wakes, for any number of channels. */
class RedisStreamBackend implements Backend {
  readonly name = "redis-stream";
  readonly address: string;
  readonly features: BackendFeatures = FEATURES;
  readonly #prefix: string;
  readonly #session: RenewedConnection<Session>;

  /**
   * @param address As it appears in messages.
   * @param make Makes a client that is not connected.
   * @param options How many entries a stream keeps, and the prefix of its key.
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

  /** Opens the connection for commands; the other one is opened with the first tail. */
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

/** Explains the redirection of a server that turns out to be a node of a cluster. */
function alone<Value>(asked: Promise<Value>): Promise<Value> {
  return asked.catch((error) => {
    if (redirectionOf(error) === undefined) throw error;
    const message = "the server is a node of a cluster, add cluster=true to the URL";
    throw new RefusedError(message, { cause: error });
  });
}
