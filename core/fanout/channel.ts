/**
 * Lifecycle of the tail of a channel or pattern: open, lost, reopened, lingering, closed.
 *
 * @module
 */

import { gapOf, isComparable, withoutRepeatedBreaks } from "../backend/continuity.ts";
import type {
  Backend,
  BackendRecord,
  Item,
  LogBreak,
  RecordReader,
  Tail,
  Target,
} from "../backend/contract.ts";
import {
  ClosedError,
  ConnectionError,
  isArgumentError,
  isPassing,
  isSameReply,
  reasonOf,
  RefusedError,
  UnknownReplyError,
} from "../backend/errors.ts";
import type { Gap } from "../backend/event.ts";
import { Epoch, Scope } from "../backend/id.ts";
import { BacklogError, weightOf } from "../backend/kit/queue_tail.ts";
import { nameOf } from "../backend/name.ts";
import { closedError, type Connection, deadlineIn } from "../broker/connection.ts";
import { decode, type Decoded, type DecodeOptions } from "../codec/decode.ts";
import { PageReader } from "../log/pages.ts";
import { newestShared } from "../log/shared_place.ts";
import { TailPosition } from "../log/tail_position.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import { isInstance, isThenable } from "../util/realm.ts";
import type { RingLimits } from "../util/ring.ts";
import { deferred, turn } from "../util/timer.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Branch } from "./branch.ts";
import { type ChannelStats, type Counts, gapCounts } from "./channel_stats.ts";
import type { Lingering } from "./lingering.ts";
import type { BranchOptions } from "./start.ts";
import { Tee } from "./tee.ts";

/** Options for a `Channel`. */
export interface ChannelOptions<Message> extends DecodeOptions<Message> {
  /** Connection to the broker. */
  readonly connection: Connection;
  /** Capacity of the ring. */
  readonly limits: RingLimits;
  /** Closes the channel some time after the last subscriber has left. */
  readonly lingering: Lingering;
  /** Time limit in milliseconds for opening the tail, with retries, and for decoding a message. */
  readonly timeout: number;
  /** The hook for observers of events. */
  readonly arrivals: Arrivals;
  /** Called for each gap that affects all subscribers. */
  readonly onGap: (target: Target, gap: Gap) => void;
}

/**
 * One tail. It opens for its first subscriber, and lingers after its last. Once it has closed, a
 * later subscriber gets a new `Channel`.
 *
 * @typeParam Message Type of the messages.
 */
export class Channel<Message> {
  /** The channel, or the pattern. */
  readonly target: Target;
  /** Scope of the event ids. */
  readonly scope: Scope;
  /** Resolves once the tail is closed and its resources are released. */
  readonly closed: Promise<void>;
  /** Whether the channel accepts no more subscribers. */
  stopping = false;
  /** Tee that the subscriptions read. */
  readonly tee: Tee<Message>;
  /** Number of messages that this broadcast has published to the channel. */
  published = 0;
  /** Number of gaps, by cause. */
  readonly gaps: Counts = {};
  readonly #options: ChannelOptions<Message>;
  /** Aborts when the channel stops, since a codec that never settles must not keep it open. */
  #stopped: AbortController | undefined;
  /** Options of the decoder, once there is something to decode. */
  #decoding: DecodeOptions<Message> | undefined;
  /** Resolves once the tail is open. Replaced while the tail is lost. */
  #opened: Promise<void>;
  /** Number of subscribers that wait for the tail. */
  #joining = 0;
  #reader: RecordReader | undefined;
  #cancelled: Promise<void> | undefined;
  #moved = 0;
  #movedBytes = 0;

  /**
   * @param target The channel, or the pattern.
   * @param backend Backend of the channel.
   * @param options Additional options.
   */
  constructor(target: Target, backend: Backend, options: ChannelOptions<Message>) {
    this.target = target;
    this.#options = options;
    const scope = this.scope = new Scope(backend.name, target);
    const past = backend.read && (typeof target === "string" || backend.features.patternLog)
      ? {
        tailPosition: new TailPosition(scope),
        log: new PageReader({ ...options, target, scope }),
      }
      : undefined;
    this.tee = new Tee(new Epoch(scope), options.limits, past);
    this.tee.onLeave = () => this.#leave();
    const opening = this.#open();
    this.#opened = opening.then(() => {});
    this.#opened.catch(() => {});
    this.closed = this.#live(opening);
  }

  /**
   * Creates a branch once the broker has confirmed the tail. If all calls are aborted, the tail
   * closes, as it does when the last subscriber leaves.
   */
  async join(start: () => BranchOptions, signal?: AbortSignal): Promise<Branch<Message>> {
    this.#joining++;
    this.#options.lingering.delete(this);
    try {
      await unlessAborted(signal, unlessAborted(this.#options.connection.closing, this.#opened));
      if (this.stopping) throw this.tee.outcome?.error ?? closedError();
      return this.tee.branch(start());
    } finally {
      this.#joining--;
      this.#leave();
    }
  }

  /** Ends all subscriptions once they have read the ring, and closes the tail. */
  stop(): void {
    this.#stop({});
  }

  /** The statistics of the channel. */
  get stats(): ChannelStats {
    const { ring, size, lag, delivered } = this.tee;
    return {
      channel: String(this.target),
      isPattern: typeof this.target !== "string",
      subscribers: size,
      lag,
      published: this.published,
      received: ring.head - 1,
      delivered,
      gaps: gapCounts(this.gaps),
      bufferedBytes: ring.bytes,
    };
  }

  #stop(outcome: { readonly error?: unknown }): void {
    this.stopping = true;
    this.#options.lingering.delete(this);
    this.tee.end(outcome);
    this.tee.log?.rest();
    this.#cancelled ??= this.#reader?.cancel().catch(() => {});
    this.#stopped?.abort();
  }

  #leave(): void {
    if (this.#joining + this.tee.size > 0 || this.stopping) return;
    this.#options.lingering.add(this);
  }

  /** Runs the lifecycle: open the tail, move its records, and reopen it after each loss. */
  async #live(opening: Promise<Opened>): Promise<void> {
    let opened: Opened;
    try {
      opened = await opening;
    } catch {
      // Reported by `join()`.
      this.stopping = true;
      return;
    }
    let moves = 0;
    let { head } = this.tee.ring;
    while (!this.stopping) {
      let failure = await this.#move(opened.tail);
      if (this.stopping) break;
      if (failure === MOVED) {
        try {
          // A tail that fails again before any event must not be reopened in a busy loop.
          if (this.tee.ring.head !== head) moves = 0;
          ({ head } = this.tee.ring);
          if (moves++ > 0) await backoff(moves, this.#options.connection.closing);
          if (this.stopping) return;
          opened = await this.#tail(this.#options.connection.backend!);
          continue;
        } catch (error) {
          failure = error;
        }
      }
      const { promise, resolve } = deferred();
      this.#opened = promise;
      const again = await this.#reopen(opened.generation, failure);
      // With a log, the tail resumes at its position, or reports a break itself.
      if (again && !this.stopping && !this.tee.log) {
        this.#options.onGap(
          this.target,
          this.tee.gap(failure instanceof BacklogError ? "overflow" : "disconnect"),
        );
      }
      resolve();
      if (!again) return;
      opened = again;
    }
    // The channel must not be reopened before the broker has released it.
    await (this.#cancelled ?? opened.tail.records.cancel().catch(() => {}));
  }

  /** Opens the tail. Retries until the timeout, unless the broker refuses. */
  async #open(): Promise<Opened> {
    const { target } = this;
    const { connection, timeout } = this.#options;
    const deadline = deadlineIn(timeout);
    let before: unknown;
    for (let attempt = 0;; attempt++) {
      const backend = await connection.readyBy(deadline, `subscribe to ${nameOf(target)}`);
      const { generation } = connection;
      try {
        if (typeof target === "string") backend.check?.(target);
        return await this.#tail(backend);
      } catch (error) {
        const isLate = this.stopping || performance.now() >= deadline.at;
        if (isLate || !isPassing(error) || isSameReply(before, error)) {
          throw tailError(target, error);
        }
        before = error;
        if (!backend.connected) connection.lose(generation, error);
        await backoff(attempt, connection.closing);
      }
    }
  }

  async #tail(backend: Backend): Promise<Opened> {
    const { closing, generation } = this.#options.connection;
    const { tailPosition, ring } = this.tee;
    const after = tailPosition && tailPosition.era > 0 ? tailPosition.position : undefined;
    const tail = await unlessAborted(closing, backend.tail(this.target, after && { after }));
    this.#options.connection.warn();
    if (!after && tail.position) tailPosition?.begin(tail.position, ring.head);
    return { tail, generation };
  }

  /** Reopens the tail; retries indefinitely, unless the broker refuses. */
  async #reopen(generation: number, failure: unknown): Promise<Opened | undefined> {
    const { connection } = this.#options;
    let error = failure;
    let before: unknown;
    for (let attempt = 0;; attempt++) {
      if (
        error instanceof RefusedError || isInstance(error, "RangeError") ||
        isSameReply(before, error)
      ) {
        this.#stop({ error: tailError(this.target, error) });
        return undefined;
      }
      let release: (() => void) | undefined;
      try {
        if (connection.backend?.connected) await backoff(attempt, connection.closing);
        else {
          if (!(error instanceof BacklogError)) connection.lose(generation, error);
          release = connection.holdPublishing();
        }
        const backend = await connection.readyInTurn();
        generation = connection.generation;
        if (this.stopping) return undefined;
        return await this.#tail(backend);
      } catch (next) {
        if (this.stopping || connection.closing.aborted) return undefined;
        before = error;
        error = next;
      } finally {
        release?.();
      }
    }
  }

  /** Moves records into the tee until the tail ends. Returns the reason. */
  async #move({ records }: Tail): Promise<unknown> {
    const reader: RecordReader = "getReader" in records ? records.getReader() : records;
    this.#reader = reader;
    let isTaking = false;
    const take = (items: readonly Item[]) => {
      isTaking = true;
      const taken = this.#takeAll(withoutRepeatedBreaks(items));
      if (taken) return taken.then(() => void (isTaking = false));
      isTaking = false;
      return undefined;
    };
    try {
      await (reader.forward ? reader.forward(take) : forward(reader, take));
      return this.stopping ? undefined : new ConnectionError("the broker ended the subscription");
    } catch (error) {
      // The error does not come from the tail but, for example, from a read that examines a break.
      // The tail is still open.
      if (isTaking) await (this.#cancelled ?? reader.cancel().catch(() => {}));
      return error;
    } finally {
      if (!this.stopping) this.#reader = undefined;
    }
  }

  /** Passes items to the tee. Returns a promise if it has to wait. */
  #takeAll(items: readonly Item[]): Promise<void> | undefined {
    for (let index = 0; index < items.length; index++) {
      const taken = this.#take(items[index]!);
      if (taken) return this.#takeRest(taken, items, index + 1);
    }
    return undefined;
  }

  async #takeRest(taken: Promise<void>, items: readonly Item[], from: number): Promise<void> {
    await taken;
    for (let index = from; index < items.length; index++) await this.#take(items[index]!);
  }

  #take(item: Item): Promise<void> | undefined {
    if (item.kind === "record") {
      const decoded = decode(item, this.target, this.#decoding ??= this.#decoder());
      return isThenable(decoded)
        ? decoded.then((value) => this.#push(item, value))
        : this.#push(item, decoded);
    }
    if (item.kind === "break") return this.#meetBreak(item);
    if (item.kind === "skip") this.tee.tailPosition?.pass(item.place, this.tee.ring.head);
    else this.#options.onGap(this.target, this.tee.gap("unknown", item.missed));
    return undefined;
  }

  #decoder(): DecodeOptions<Message> {
    this.#stopped = new AbortController();
    if (this.stopping) this.#stopped.abort();
    return { ...this.#options, closing: this.#stopped.signal };
  }

  /**
   * Returns a promise once half a ring has moved since readers last had a turn.
   *
   * Clients push thousands of records before any microtask runs. Readers get a turn of the event
   * loop for each half ring, so that the ring overflows only for a reader that does not read.
   */
  #push(record: BackendRecord, value: Decoded<Message>): Promise<void> | undefined {
    const { limits } = this.#options;
    const { place } = record;
    if (!value) {
      if (place) this.tee.tailPosition?.advance(place);
      return undefined;
    }
    if (value.kind === "end") {
      this.tee.finish(place!, value);
      return undefined;
    }
    const bytes = weightOf(record);
    const { observe } = this.#options.arrivals;
    if (observe === undefined) this.tee.push(value, bytes, place);
    else observe(value, this.target, () => this.tee.push(value, bytes, place));
    this.#movedBytes += bytes;
    if (++this.#moved < limits.count / 2 && this.#movedBytes < limits.bytes / 2) return undefined;
    this.#moved = 0;
    this.#movedBytes = 0;
    return this.tee.caughtUp ? undefined : turn();
  }

  /**
   * Handles a break of the log. If the log was rolled back, it continues after the newest place
   * that it shares with the ring, so that subscribers do not receive all events again. Rejects with
   * `MOVED` if the tail has to be reopened at that place.
   */
  async #meetBreak(found: LogBreak): Promise<void> {
    const { tee } = this;
    const { tailPosition } = tee;
    const { shard = 0, recreated } = found;
    const gap = gapOf(found, tailPosition?.position.in(shard));
    if (!gap) return;
    if (!tailPosition || isComparable(gap)) {
      this.#options.onGap(this.target, tee.gap(gap.cause, gap.missed));
      return;
    }
    const held = recreated === true ? [] : tee.held(shard);
    const shared = await newestShared(tee.log!, tailPosition.position, held);
    if (this.stopping) return;
    this.#options.onGap(this.target, tee.gap(gap.cause));
    const cut = { shard: recreated === true ? undefined : shard, place: shared };
    tailPosition.startOver(gap.cause, cut, tee.ring.head, tee.gapCount);
    tee.log!.renew();
    if (shared) throw MOVED;
  }
}

/** Reason for ending a tail that has to be reopened at another position. */
const MOVED = Symbol("moved");

/** Passes the items of a reader on, one read at a time. */
async function forward(
  reader: RecordReader,
  take: (items: readonly Item[]) => Promise<void> | undefined,
): Promise<void> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const taken = take(value);
    if (taken) await taken;
  }
}

/** A tail, and the generation of its connection. */
interface Opened {
  readonly tail: Tail;
  readonly generation: number;
}

/** Wraps an error that a backend threw while opening or feeding a tail. */
function tailError(target: Target, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  if (isArgumentError(cause)) return cause;
  const message = `Cannot subscribe to ${nameOf(target)}: ${reasonOf(cause)}`;
  return cause instanceof RefusedError || cause instanceof UnknownReplyError
    ? new RefusedError(message, { cause })
    : new ConnectionError(message, { cause });
}
