/**
 * Redis Streams: pub/sub with a past.
 *
 * ## URLs
 *
 * `redis-stream://[[user][:password]@]host[:port][/database][?maxlen=N]`;
 * `rediss-stream://` for TLS. The port is 6379 if none is named. `maxlen` is how
 * many events of each channel are kept, 10,000 unless it is said, and about: the
 * server removes whole blocks, some hundred events later. 0 keeps all. `prefix`,
 * the hosts of a cluster, sentinels and the files for TLS are written as in
 * `redis://`.
 *
 * ## Delivery
 *
 * In the order in which the server received it, and without loss as long as the
 * stream keeps it, also over a lost connection. What was removed before it was
 * read is told as a gap, as is a stream that was deleted and begun anew; but not
 * to who had seen nothing of it yet, since nothing tells the two apart. A server
 * that stores nothing on disk, or fails over to a replica that lags, loses what
 * it had not passed on: a gap to those who had seen some of that.
 *
 * A channel is the stream of that name, and an event an entry with the field
 * `message`: other programs may `XADD` and `XREAD` it. Its other fields are the
 * headers. Entries without that field are passed over. With each batch `<channel>:wake` is published, so that
 * subscribers know at once; what is added without it they find within 50 ms, or
 * 0.2 ms for each channel that the process subscribes to, if that is longer.
 * Unlike with pub/sub, channels of different databases are different; a key that
 * holds something else than a stream is refused.
 *
 * What is published with a key runs as a script, which remembers it under
 * `<channel>:broadcaster-key:<key>` for as long as it was asked to, unless the server evicts it.
 * The key is written as in a URL. A user needs `+eval`, `+get` and `+set` for that.
 *
 * In a cluster a stream lies where its slot does, and moves with it without loss.
 * Wakes are shard channels of that slot, named `{<channel>}:wake` unless the
 * channel has braces itself; keys are named alike. While a master cannot be reached,
 * publishing waits; with a key it waits while the slot moves, too.
 *
 * ## Escape hatch
 *
 * Pass a `Redis` or a `Cluster` of ioredis as `client`: its settings are used for
 * connections of our own, and it is never used or closed itself.
 *
 * @module
 */

import type { Redis } from "ioredis";
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
} from "../../core/backend/contract.ts";
import { ClosedError, RefusedError } from "../../core/backend/errors.ts";
import type { Position } from "../../core/backend/position.ts";
import { clientsOf } from "./clients.ts";
import { redirectionOf } from "./cluster/slots.ts";
import { RedisClusterStreamBackend } from "./log/cluster.ts";
import { checkStream, FEATURES } from "./log/features.ts";
import { keyNameOf } from "./log/keys.ts";
import { Session } from "./log/session.ts";
import { WAKES } from "./log/writer.ts";

/** How many entries of a stream are kept, about. */
const MAXLEN = 10_000;

/** One connection for commands, one to be woken, however many channels. */
export class RedisStreamBackend implements Backend {
  /** The scheme. */
  readonly name = "redis-stream";
  /** As it appears in messages. */
  readonly address: string;
  /** What it can do. */
  readonly features: BackendFeatures = FEATURES;
  readonly #make: () => Redis;
  readonly #maxlen: number;
  readonly #prefix: string;
  #session: Session | undefined;
  #closed = false;

  /**
   * A backend that connects when it is asked to.
   *
   * @param address As it appears in messages.
   * @param make Makes a client that is not connected.
   * @param maxlen How many entries a stream keeps, about; 0 for all.
   * @param prefix Stands before each channel's name in its key.
   */
  constructor(address: string, make: () => Redis, maxlen: number = MAXLEN, prefix = "") {
    this.address = address;
    this.#make = make;
    this.#maxlen = maxlen;
    this.#prefix = prefix;
  }

  /** Whether neither connection was lost. */
  get connected(): boolean {
    return !this.#session?.lost;
  }

  /** Opens the connection for commands; the other one opens with the first tail. */
  async connect(): Promise<void> {
    const lost = this.#session?.lost ? this.#session : undefined;
    await lost?.close();
    if (this.#closed) throw new ClosedError("Cannot use backend: it is closed");
    if (this.#session === lost) {
      const options = { maxlen: this.#maxlen, wakes: WAKES, keyName: keyNameOf };
      this.#session = new Session(this.#make, options);
    }
    await this.#session!.ready;
  }

  /** What a stream cannot have. */
  check(channel: string, _payload?: Payload, options?: PayloadOptions): void {
    checkStream(channel, options, keyNameOf);
  }

  /** XADD, and a wake behind. */
  publish(
    channel: string,
    payloads: readonly Payload[],
    options?: readonly (PayloadOptions | undefined)[],
  ): readonly Promise<Position>[] {
    return this.#session!.writer.publish(this.#prefix + channel, payloads, options).map(alone);
  }

  /** The live end of the stream. */
  tail(channel: string, { after }: TailOptions = {}): Promise<Tail> {
    return alone(this.#session!.tail(this.#prefix + channel, after));
  }

  /** XRANGE, from the last entry that was seen. */
  read(channel: string, options: ReadOptions): Promise<Page> {
    return alone(this.#session!.reader.read(this.#prefix + channel, options));
  }

  /** PING on each connection. */
  async probe(signal: AbortSignal): Promise<void> {
    await this.#session?.probe(signal);
  }

  /** Shuts both sockets. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#session?.close();
  }
}

/** Makes the backend of `redis-stream://` and `rediss-stream://`. */
export async function open(address: Address, options: BackendOptions): Promise<Backend> {
  const maxlen = address.count("maxlen", 0) ?? MAXLEN;
  const { address: shown, make, seeds, ...clients } = await clientsOf(address, options);
  const prefix = clients.keyPrefix + clients.prefix;
  return seeds
    ? new RedisClusterStreamBackend(shown, make, seeds, { maxlen, prefix })
    : new RedisStreamBackend(shown, make, maxlen, prefix);
}

/** Says what to do where the server is a node of a cluster, and another one has the stream. */
async function alone<Value>(asked: Promise<Value>): Promise<Value> {
  try {
    return await asked;
  } catch (error) {
    if (redirectionOf(error) === undefined) throw error;
    const message = "the server is a node of a cluster, say cluster=true in the URL";
    throw new RefusedError(message, { cause: error });
  }
}
