/**
 * The stream that stores all channels: its creation and its state.
 *
 * @module
 */

import type { JetStreamManager, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { MsgHdrs } from "@nats-io/transport-node";
import { RefusedError } from "../../../core/backend/errors.ts";
import { quote } from "../../../core/util/quote.ts";
import { after, deferred } from "../../../core/util/timer.ts";
import { explain, isMissingJetStream, isMissingStream } from "../errors.ts";
import { readHeaders } from "../headers.ts";
import type { Link } from "../link.ts";
import { windowOf } from "./keys.ts";
import { epochOf } from "./place.ts";

/** The function `jetstreamManager` of `@nats-io/jetstream`. */
export type Manage = (typeof import("@nats-io/jetstream"))["jetstreamManager"];

/** The configuration of a new stream. */
export type Limits =
  & { readonly name: string }
  & Partial<
    Pick<
      StreamConfig,
      "max_age" | "max_bytes" | "max_msgs_per_subject" | "storage" | "num_replicas"
    >
  >;

/** Facts about the stream that all connections of a backend share. */
export interface Presence {
  /** Whether the stream existed when it was last looked up. */
  wasThere: boolean;
}

/** Options for a store. */
export interface StoreOptions {
  /** Creates a manager of streams. */
  readonly manage: Manage;
  /** The configuration of a new stream. */
  readonly limits: Limits;
  /** The shared facts about the stream. */
  readonly presence: Presence;
}

/** The state of the stream at one moment. */
export interface State {
  /** Distinguishes the stream from an earlier one of the same name. */
  readonly epoch: string;
  /** The sequence of the oldest message, or one more than `last` if there is none. */
  readonly first: number;
  /** The sequence of the last message that it ever had. */
  readonly last: number;
  /** The number of removed messages between them. */
  readonly deleted: number;
  /**
   * Whether the number of messages of each channel is limited, so that new ones remove the oldest.
   */
  readonly isCapped: boolean;
  /** The duplicate window, within which keys are known, in milliseconds. */
  readonly window: number;
}

/** The pause before a deleted stream is created again, in milliseconds. */
const PAUSE = 500;
/** The time after which the state is requested again, in milliseconds. */
const AGAIN = 500;
/** The maximum number of removed sequences that are read. */
const MOST_DELETED = 10_000;

/** One stream on a server. */
export class Store {
  /** The name, which is the first token of all subjects. */
  readonly name: string;
  /** The connection. */
  readonly link: Link;
  /** Manages streams and consumers. */
  readonly manager: JetStreamManager;
  readonly #limits: Limits;
  readonly #presence: Presence;
  #asking: Promise<State> | undefined;
  #next: Promise<State> | undefined;

  private constructor(
    link: Link,
    manager: JetStreamManager,
    { limits, presence }: StoreOptions,
  ) {
    this.name = limits.name;
    this.#presence = presence;
    this.link = link;
    this.manager = manager;
    this.#limits = limits;
  }

  /**
   * Creates a store on a connection, without a request.
   *
   * @param link The connection.
   * @param options Options for the store.
   */
  static async open(link: Link, options: StoreOptions): Promise<Store> {
    return new Store(link, await options.manage(link.client, { checkAPI: false }), options);
  }

  /** The first token of the subjects on which the server republishes stored messages. */
  get live(): string {
    return `${this.name}-live`;
  }

  /** Whether republished messages have their time. Only servers from 2.10 on send it. */
  get tellsTime(): boolean {
    const [major = 0, minor = 0] = (this.link.client.info?.version ?? "").split(".").map(Number);
    return major > 2 || major === 2 && minor >= 10;
  }

  /**
   * The current state. Callers share one request, which starts after their call. A missing stream
   * is created.
   */
  state(): Promise<State> {
    if (!this.#asking) return this.#ask();
    this.#next ??= this.#asking.catch(() => {}).then(() => {
      this.#next = undefined;
      return this.#ask();
    });
    return this.#next;
  }

  #ask(): Promise<State> {
    const asking = this.#info().then(stateOf).finally(() => {
      if (this.#asking === asking) this.#asking = undefined;
    });
    return this.#asking = asking;
  }

  /** The sequences of removed messages in a range, or `undefined` if there are too many to list. */
  async deleted(from: number, to: number): Promise<number[] | undefined> {
    const { streams } = this.manager;
    const { state } = await this.call(() => streams.info(this.name, { deleted_details: true }));
    if (state.num_deleted > MOST_DELETED) return undefined;
    return (state.deleted ?? []).filter((sequence) => sequence >= from && sequence <= to);
  }

  /** The last message of a subject, or the message of a sequence, if the stream still has it. */
  async find(query: { last_by_subj: string } | { seq: number }): Promise<Found | undefined> {
    const found = await this.call(() => this.manager.streams.getMessage(this.name, query));
    if (!found) return undefined;
    const { data, seq, subject, time } = found;
    const headers = readHeaders({
      get headers() {
        return found.header;
      },
    });
    return { data, seq, subject, timestamp: time.getTime(), headers };
  }

  /** Makes a request, and settles like it, with converted errors. */
  async call<Value>(request: () => Promise<Value>): Promise<Value> {
    try {
      return await this.link.unlessRefused(request);
    } catch (error) {
      throw this.#explained(error);
    }
  }

  /** Nobody answers if the server has no JetStream. The same can happen for a moment if it has. */
  #explained(error: unknown): unknown {
    if (!isMissingJetStream(error) || this.link.client.info?.jetstream) return explain(error);
    return new RefusedError("the server has no JetStream, start it with -js", { cause: error });
  }

  async #info(): Promise<StreamInfo> {
    const { streams } = this.manager;
    try {
      const info = this.#checked(await this.link.unlessRefused(() => this.#asked()));
      this.#presence.wasThere = true;
      return info;
    } catch (error) {
      if (!isMissingStream(error)) throw this.#explained(error);
    }
    // A stream that is created while its old files are being deleted loses the new files too.
    // Servers of version 2.9 report too early that a stream is deleted.
    if (this.#presence.wasThere) await this.#pause();
    this.#presence.wasThere = false;
    const create = () =>
      streams.add({
        description: "Channels of Broadcaster",
        subjects: [`${this.name}.>`],
        republish: { src: `${this.name}.>`, dest: `${this.live}.>` },
        "allow_direct": true,
        duplicate_window: windowOf(this.#limits.max_age ?? 0),
        ...this.#limits,
      });
    try {
      return await this.link.unlessRefused(create);
    } catch (error) {
      // Another process may have created it first, with other limits.
      const there = await this.link.unlessRefused(() => streams.info(this.name))
        .catch(() => undefined);
      if (there) return this.#checked(there);
      throw this.#explained(error);
    }
  }

  /**
   * Requests the state of the stream. A request that arrives while the stream has no leader is
   * never answered. So the request is repeated until one has failed.
   */
  async #asked(): Promise<StreamInfo> {
    const { streams } = this.manager;
    let stop = () => {};
    try {
      return await new Promise<StreamInfo>((resolve, reject) => {
        const ask = () => {
          if (this.link.lost) return reject(this.link.loss.reason);
          streams.info(this.name).then(resolve, reject);
          stop = after(AGAIN, ask);
        };
        ask();
      });
    } finally {
      stop();
    }
  }

  async #pause(): Promise<void> {
    const { promise, resolve } = deferred();
    const stop = after(PAUSE, resolve);
    try {
      await this.link.unlessLost(promise);
    } finally {
      stop();
    }
  }

  #checked(info: StreamInfo): StreamInfo {
    const { name } = this;
    const [src, dest] = [`${name}.>`, `${this.live}.>`];
    const { subjects = [], republish, retention, no_ack, subject_transform } = info.config;
    const isOurs = subjects.includes(src) && republish?.src === src && republish.dest === dest;
    const other = "choose another stream with ?stream=";
    if (!isOurs) {
      throw new RefusedError(
        `stream ${quote(name)} is not one of ours: it must have the subject ${
          quote(src)
        } and republish it to ${quote(dest)}, or ${other}`,
      );
    }
    const wrong = [
      republish.headers_only && "it republishes headers only",
      retention !== "limits" && `its retention is ${quote(retention)}, not "limits"`,
      no_ack && "it does not acknowledge messages (no_ack)",
      subject_transform && "it changes subjects (subject_transform)",
    ].filter(Boolean);
    if (wrong.length === 0) return info;
    throw new RefusedError(
      `stream ${quote(name)} cannot hold channels: ${wrong.join(", ")}; change that, or ${other}`,
    );
  }
}

/** A message of the stream. */
export interface Found {
  readonly data: Uint8Array;
  readonly seq: number;
  readonly subject: string;
  /** The time when it was stored, in milliseconds since the Unix epoch. */
  readonly timestamp: number;
  readonly headers: MsgHdrs | undefined;
}

/** The header with the time of a message, from servers from 2.10 on. */
export const TIME_HEADER = "Nats-Time-Stamp";

/**
 * The time when a message was stored or sent, in milliseconds since the Unix epoch, if a header has
 * it.
 */
export function timeOf(headers: MsgHdrs | undefined): number | undefined {
  const time = Date.parse(headers?.get(TIME_HEADER) ?? "");
  return Number.isNaN(time) ? undefined : time;
}

function stateOf({ created, state, config }: StreamInfo): State {
  return {
    epoch: epochOf(created),
    first: state.first_seq || 1,
    last: state.last_seq,
    deleted: state.num_deleted ?? 0,
    isCapped: config.max_msgs_per_subject > 0,
    window: config.duplicate_window / 1_000_000,
  };
}
