/**
 * Lifecycle of the tail of a channel or pattern: open, lost, reopened, lingering, closed.
 *
 * @module
 */

import { gapOf, isComparable } from "../backend/continuity.ts";
import type {
  Backend,
  BackendRecord,
  LogBreak,
  Payload,
  RecordReader,
  Tail,
  Target,
} from "../backend/contract.ts";
import { ClosedError, ConnectionError, reasonOf, RefusedError } from "../backend/errors.ts";
import type { Gap } from "../backend/event.ts";
import { Epoch, Scope } from "../backend/id.ts";
import { BacklogError, weightOf } from "../backend/kit/queue_tail.ts";
import { nameOf } from "../backend/name.ts";
import { closedError, type Connection } from "../broker/connection.ts";
import type { Codec } from "../codec/codec.ts";
import { decode, type Decoded } from "../codec/decode.ts";
import { PageReader } from "../log/pages.ts";
import { newestShared } from "../log/shared_place.ts";
import { TailPosition } from "../log/tail_position.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import type { RingLimits } from "../util/ring.ts";
import { after, deferred, turn } from "../util/timer.ts";
import type { Branch } from "./branch.ts";
import type { BranchOptions } from "./start.ts";
import { Tee } from "./tee.ts";

/** Options for a `Channel`. */
export interface ChannelOptions<Message> {
  /** Connection to the broker. */
  readonly connection: Connection;
  /** Decodes payloads to messages. */
  readonly codec: Codec<Message>;
  /** Capacity of the ring. */
  readonly limits: RingLimits;
  /** Time in milliseconds for which the tail stays open after the last subscriber has left. */
  readonly linger: number;
  /** Called for each gap that affects all subscribers. */
  readonly onGap: (gap: Gap) => void;
  /** Called for each payload that cannot be decoded. */
  readonly onMessageError: (channel: string, payload: Payload, error: unknown) => void;
}

/**
 * One tail, from its first subscriber until it has lingered after the last. Once it has closed, a
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
  /** No more subscribers are accepted. */
  stopping = false;
  /** Tee that the subscriptions read. */
  readonly tee: Tee<Message>;
  readonly #options: ChannelOptions<Message>;
  /** Resolves once the tail is open; replaced while the tail is lost. */
  #opened: Promise<void>;
  /** Number of subscribers that wait for the tail. */
  #joining = 0;
  #reader: RecordReader | undefined;
  #cancelled: Promise<void> | undefined;
  #moved = 0;
  #movedBytes = 0;
  #stopLinger: () => void = () => {};

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
    this.#stopLinger();
    try {
      await unlessAborted(signal, unlessAborted(this.#options.connection.closing, this.#opened));
      if (this.stopping) throw this.tee.outcome?.error ?? closedError();
      return this.tee.branch(start());
    } finally {
      this.#joining--;
      this.#leave();
    }
  }

  /** Ends all subscriptions after the events in the ring, and closes the tail. */
  stop(): void {
    this.#stop({});
  }

  #stop(outcome: { readonly error?: unknown }): void {
    this.stopping = true;
    this.#stopLinger();
    this.tee.end(outcome);
    this.tee.log?.rest();
    this.#cancelled ??= this.#reader?.cancel().catch(() => {});
  }

  #leave(): void {
    if (this.#joining + this.tee.size > 0 || this.stopping) return;
    if (this.#options.linger === 0) return this.stop();
    this.#stopLinger = after(this.#options.linger, () => this.stop());
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
          // A tail that breaks again, before any event, must not spin.
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

  async #open(): Promise<Opened> {
    const backend = await this.#options.connection.ready();
    try {
      if (typeof this.target === "string") backend.check?.(this.target);
      return await this.#tail(backend);
    } catch (cause) {
      throw tailError(this.target, cause);
    }
  }

  async #tail(backend: Backend): Promise<Opened> {
    const { closing, generation } = this.#options.connection;
    const { tailPosition, ring } = this.tee;
    const after = tailPosition && tailPosition.era > 0 ? tailPosition.position : undefined;
    const tail = await unlessAborted(closing, backend.tail(this.target, after && { after }));
    if (!after && tail.position) tailPosition?.begin(tail.position, ring.head);
    return { tail, generation };
  }

  /** Reopens the tail; retries indefinitely, unless the broker refuses. */
  async #reopen(generation: number, failure: unknown): Promise<Opened | undefined> {
    const { connection } = this.#options;
    let error = failure;
    for (let attempt = 0;; attempt++) {
      if (error instanceof RefusedError || error instanceof RangeError) {
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
        const backend = await connection.ready();
        generation = connection.generation;
        if (this.stopping) return undefined;
        return await this.#tail(backend);
      } catch (next) {
        if (this.stopping || connection.closing.aborted) return undefined;
        error = next;
      } finally {
        release?.();
      }
    }
  }

  /** Moves records into the tee until the tail ends. Returns the reason. */
  async #move(tail: Tail): Promise<unknown> {
    const { records } = tail;
    const reader = "getReader" in records ? records.getReader() : records;
    this.#reader = reader;
    let isRead = false;
    try {
      for (;;) {
        isRead = false;
        const { done, value } = await reader.read();
        isRead = true;
        if (done) return new ConnectionError("the broker ended the subscription");
        let recreated = false;
        for (const item of value) {
          if (item.kind === "break") {
            // Every shard of a recreated log reports a break; together they are one gap.
            if (recreated && item.recreated) continue;
            recreated = item.recreated === true;
            if (!await this.#meetBreak(item)) continue;
            await reader.cancel().catch(() => {});
            return MOVED;
          }
          if (item.kind === "skip") this.tee.tailPosition?.pass(item.place, this.tee.ring.head);
          if (item.kind === "loss") this.#options.onGap(this.tee.gap("unknown", item.missed));
          if (item.kind !== "record") continue;
          recreated = false;
          const decoded = decode(item, this.target, this.#options);
          const isFull = this.#push(item, decoded instanceof Promise ? await decoded : decoded);
          if (isFull) await this.#breathe();
        }
      }
    } catch (error) {
      // Not an error of the tail, such as of a read that examines a break: the tail is still open.
      if (isRead) await (this.#cancelled ?? reader.cancel().catch(() => {}));
      return error;
    } finally {
      if (!this.stopping) this.#reader = undefined;
    }
  }

  /** Returns true once half a ring has moved since readers last had a turn. */
  #push(record: BackendRecord, value: Decoded<Message>): boolean {
    const { limits } = this.#options;
    const { place } = record;
    if (!value) {
      if (place) this.tee.tailPosition?.advance(place);
      return false;
    }
    if (value.kind === "end") {
      this.tee.finish(place!, value);
      return false;
    }
    const bytes = weightOf(record);
    this.tee.push(value, bytes, place);
    this.#movedBytes += bytes;
    return ++this.#moved >= limits.count / 2 || this.#movedBytes >= limits.bytes / 2;
  }

  /**
   * Handles a break of the log. If the log was rolled back, it continues after the newest place that
   * it shares with the ring, so that subscribers do not receive all of it again.
   *
   * @returns Whether the tail has to be reopened at that place.
   */
  async #meetBreak(found: LogBreak): Promise<boolean> {
    const { tee } = this;
    const { tailPosition } = tee;
    const { shard = 0, recreated } = found;
    const gap = gapOf(found, tailPosition?.position.in(shard));
    if (!gap) return false;
    if (!tailPosition || isComparable(gap)) {
      this.#options.onGap(tee.gap(gap.cause, gap.missed));
      return false;
    }
    const held = recreated === true ? [] : tee.held(shard);
    const shared = await newestShared(tee.log!, tailPosition.position, held);
    if (this.stopping) return false;
    this.#options.onGap(tee.gap(gap.cause));
    const cut = { shard: recreated === true ? undefined : shard, place: shared };
    tailPosition.startOver(gap.cause, cut, tee.ring.head, tee.gapCount);
    tee.log!.renew();
    return shared !== undefined;
  }

  /**
   * Clients push thousands of records before any microtask runs. Readers get a
   * turn of the event loop for each half ring, so that only one that does not
   * read can overflow.
   */
  async #breathe(): Promise<void> {
    this.#moved = 0;
    this.#movedBytes = 0;
    if (!this.tee.caughtUp) await turn();
  }
}

/** Reason for ending a tail that has to be reopened at another position. */
const MOVED = Symbol("moved");

/** A tail, and the generation of its connection. */
interface Opened {
  readonly tail: Tail;
  readonly generation: number;
}

/** Wraps an error that a backend threw while opening or feeding a tail. */
function tailError(target: Target, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  const message = `Cannot subscribe to ${nameOf(target)}: ${reasonOf(cause)}`;
  return cause instanceof RefusedError
    ? new RefusedError(message, { cause })
    : new ConnectionError(message, { cause });
}
