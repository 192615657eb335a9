/**
 * The life of one channel's tail, or a pattern's: opened, lost, opened again, lingering,
 * closed.
 *
 * @module
 */

import type {
  Backend,
  BackendRecord,
  Item,
  LogGap,
  Payload,
  Tail,
  Target,
} from "../backend/contract.ts";
import { ClosedError, ConnectionError, reasonOf, RefusedError } from "../backend/errors.ts";
import type { Gap } from "../backend/event.ts";
import { Epoch, Scope } from "../backend/id.ts";
import { BacklogError, QueueTail, weightOf } from "../backend/kit/queue_tail.ts";
import { nameOf } from "../backend/name.ts";
import { closedError, type Connection } from "../broker/connection.ts";
import type { Codec } from "../codec/codec.ts";
import { eventOf, isEndOf, type Unnamed } from "../codec/decode.ts";
import { PageReader } from "../log/pages.ts";
import { TailPosition } from "../log/tail_position.ts";
import { unlessAborted } from "../util/abort.ts";
import { backoff } from "../util/backoff.ts";
import type { RingLimits } from "../util/ring.ts";
import { after, deferred, turn } from "../util/timer.ts";
import type { Branch } from "./branch.ts";
import type { BranchOptions } from "./start.ts";
import { Tee } from "./tee.ts";

/** What a channel needs to know. */
export interface ChannelOptions<Message> {
  /** Where its tail opens. */
  readonly connection: Connection;
  /** Turns payloads into messages. */
  readonly codec: Codec<Message>;
  /** What its ring may hold. */
  readonly limits: RingLimits;
  /** How long its tail outlives its last subscriber, in milliseconds. */
  readonly linger: number;
  /** Told of each gap that concerns all subscribers. */
  readonly onGap: (gap: Gap) => void;
  /** Told of each payload that cannot be decoded. */
  readonly onMessageError: (channel: string, payload: Payload, error: unknown) => void;
}

/**
 * The life of one tail, from its first subscriber until it has lingered behind
 * its last. A later subscriber finds a new one, once this one has closed.
 *
 * @typeParam Message What the events carry.
 */
export class Channel<Message> {
  /** The channel, or the pattern. */
  readonly target: Target;
  /** Its ids. */
  readonly scope: Scope;
  /** Resolves once the tail is closed and everything of it released. */
  readonly closed: Promise<void>;
  /** Whether it takes no more subscribers. */
  stopping = false;
  /** What its subscriptions read. */
  readonly tee: Tee<Message>;
  readonly #options: ChannelOptions<Message>;
  /** Resolves once the tail is open; made anew while it is lost. */
  #opened: Promise<void>;
  /** Subscribers that have not left, those included that still wait for the tail. */
  #members = 0;
  #reader: QueueTail | ReadableStreamDefaultReader<readonly Item[]> | undefined;
  #cancelled: Promise<void> | undefined;
  #moved = 0;
  #movedBytes = 0;
  #stopLinger: () => void = () => {};

  /**
   * @param target The channel, or the pattern.
   * @param backend Where it is one.
   * @param options What it needs to know.
   */
  constructor(target: Target, backend: Backend, options: ChannelOptions<Message>) {
    this.target = target;
    this.#options = options;
    const scope = this.scope = new Scope(backend.name, target);
    const { log, patternLog } = backend.features;
    const past = (typeof target === "string" ? log : patternLog)
      ? {
        tailPosition: new TailPosition(scope),
        log: new PageReader({ ...options, target, scope }),
      }
      : undefined;
    this.tee = new Tee(new Epoch(scope), options.limits, past);
    const opening = this.#open();
    this.#opened = opening.then(() => {});
    this.#opened.catch(() => {});
    this.closed = this.#live(opening);
  }

  /**
   * A new branch, once the broker has confirmed the tail. Whoever stops waiting
   * leaves no trace: the last one to leave closes the tail.
   */
  async join(start: () => BranchOptions, signal?: AbortSignal): Promise<Branch<Message>> {
    this.#members++;
    this.#stopLinger();
    try {
      await unlessAborted(signal, unlessAborted(this.#options.connection.closing, this.#opened));
      if (this.stopping) throw this.tee.outcome?.error ?? closedError();
      const branch = this.tee.branch(start());
      branch.onLeave = () => this.#leave();
      return branch;
    } catch (error) {
      this.#leave();
      throw error;
    }
  }

  /** Ends every subscription, behind the events that are in the ring, and closes the tail. */
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
    if (--this.#members > 0 || this.stopping) return;
    if (this.#options.linger === 0) return this.stop();
    this.#stopLinger = after(this.#options.linger, () => this.stop());
  }

  /** The whole life: open, move, and after each loss open again. */
  async #live(opening: Promise<Opened>): Promise<void> {
    let opened: Opened;
    try {
      opened = await opening;
    } catch {
      // The subscribers learn it from `join()`.
      this.stopping = true;
      return;
    }
    while (!this.stopping) {
      const failure = await this.#move(opened.tail);
      if (this.stopping) break;
      const { promise, resolve } = deferred();
      this.#opened = promise;
      const again = await this.#reopen(opened.generation, failure);
      // With a log the tail goes on where it was, or says itself that it cannot.
      if (again && !this.stopping && !this.tee.log) {
        this.#options.onGap(
          this.tee.gap(failure instanceof BacklogError ? "overflow" : "disconnect"),
        );
      }
      resolve();
      if (!again) return;
      opened = again;
    }
    // Nothing for this channel may begin before the broker has let go of it.
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

  /** Opens the tail again, for as long as it takes. */
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

  /** Moves records into the tee until the tail ends, and returns why it did. */
  async #move(tail: Tail): Promise<unknown> {
    const reader = tail instanceof QueueTail ? tail : tail.records.getReader();
    this.#reader = reader;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return new ConnectionError("the broker ended the subscription");
        for (const item of value) {
          if (item.payload === undefined) {
            this.#pass(item);
            continue;
          }
          if (item.place && isEndOf(this.target, item.payload)) {
            this.tee.finish(item.place);
            continue;
          }
          const event = eventOf(item, this.target, this.#options);
          const isFull = this.#push(item, event instanceof Promise ? await event : event);
          if (isFull) await this.#breathe();
        }
      }
    } catch (error) {
      return error;
    } finally {
      if (!this.stopping) this.#reader = undefined;
    }
  }

  /** Returns whether half a ring has moved since readers last had their turn. */
  #push(record: BackendRecord, value: Unnamed<Message> | undefined): boolean {
    const { limits } = this.#options;
    const { place } = record;
    if (!value) {
      if (place) this.tee.tailPosition?.advance(place);
      return false;
    }
    const bytes = weightOf(record);
    this.tee.push(value, bytes, place);
    this.#movedBytes += bytes;
    return ++this.#moved >= limits.count / 2 || this.#movedBytes >= limits.bytes / 2;
  }

  /** What is no event: a place that is behind us now, or a gap in the log. */
  #pass(item: Exclude<Item, { readonly payload: Payload }>): void {
    if (item.place) return void this.tee.tailPosition?.advance(item.place);
    const { tee } = this;
    const found = item as LogGap;
    const gap = tee.gap(found.cause, found.missed);
    if (tee.tailPosition?.meet(found, tee.ring.head, tee.gapCount)) tee.log?.renew();
    this.#options.onGap(gap);
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

/** A tail, and the connection that it belongs to. */
interface Opened {
  readonly tail: Tail;
  readonly generation: number;
}

/** Wraps, once, what a backend threw while it opened or fed a tail. */
function tailError(target: Target, cause: unknown): Error {
  if (cause instanceof ClosedError) return cause;
  if (cause instanceof TypeError || cause instanceof RangeError) return cause;
  const message = `Cannot subscribe to ${nameOf(target)}: ${reasonOf(cause)}`;
  return cause instanceof RefusedError
    ? new RefusedError(message, { cause })
    : new ConnectionError(message, { cause });
}
