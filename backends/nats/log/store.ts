/**
 * The stream that stores all channels: created, looked up, and its state.
 *
 * @module
 */

import type { JetStreamManager, StoredMsg, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { RefusedError } from "../../../core/backend/errors.ts";
import { explain, isMissingStream } from "../errors.ts";
import type { Link } from "../link.ts";
import { windowOf } from "./keys.ts";
import { epochOf } from "./place.ts";

/** The configuration with which the stream is created. */
export type Limits =
  & { readonly name: string }
  & Partial<
    Pick<
      StreamConfig,
      "max_age" | "max_bytes" | "max_msgs_per_subject" | "storage" | "num_replicas"
    >
  >;

/** The stream as it is at one moment. */
export interface State {
  /** Tells it from an earlier stream of the same name. */
  readonly epoch: string;
  /** The sequence of its oldest message; one after the last if there is none. */
  readonly first: number;
  /** The sequence of the last message that it ever had. */
  readonly last: number;
  /** How many messages between them were removed. */
  readonly deleted: number;
  /** Whether the messages of each channel are limited, so that new ones remove its oldest. */
  readonly isCapped: boolean;
  /** Its duplicate window, within which it knows keys, in milliseconds. */
  readonly window: number;
}

/** The most sequences of removed messages that are looked at. */
const MOST_DELETED = 10_000;

/** One stream on a server. */
export class Store {
  /** Its name, which is the first token of all its subjects. */
  readonly name: string;
  /** The connection. */
  readonly link: Link;
  /** Manages streams and consumers. */
  readonly manager: JetStreamManager;
  readonly #limits: Limits;
  #asking: Promise<State> | undefined;
  #next: Promise<State> | undefined;

  /**
   * @param link The connection.
   * @param manager Manages streams and consumers.
   * @param limits The configuration with which the stream is created, if there is none.
   */
  constructor(link: Link, manager: JetStreamManager, limits: Limits) {
    this.name = limits.name;
    this.link = link;
    this.manager = manager;
    this.#limits = limits;
  }

  /** The first token of the subjects on which the server republishes stored messages. */
  get live(): string {
    return `${this.name}-live`;
  }

  /** Whether republished messages have their time: only those of servers from 2.10 on. */
  get tellsTime(): boolean {
    const [major = 0, minor = 0] = (this.link.client.info?.version ?? "").split(".").map(Number);
    return major > 2 || major === 2 && minor >= 10;
  }

  /**
   * Its current state. Callers share one request, which starts after their call. The stream is
   * created if there is none.
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

  /** The sequences of removed messages in a range; `undefined` if there are too many to list. */
  async deleted(from: number, to: number): Promise<number[] | undefined> {
    const { streams } = this.manager;
    const { state } = await this.call(streams.info(this.name, { deleted_details: true }));
    if (state.num_deleted > MOST_DELETED) return undefined;
    return (state.deleted ?? []).filter((sequence) => sequence >= from && sequence <= to);
  }

  /** The last message of a subject, or that of a sequence, if the stream still has it. */
  async find(query: { last_by_subj: string } | { seq: number }): Promise<StoredMsg | undefined> {
    return await this.call(this.manager.streams.getMessage(this.name, query)) ?? undefined;
  }

  /** Settles as a request does, with errors as the core knows them. */
  async call<Value>(request: Promise<Value>): Promise<Value> {
    try {
      return await this.link.unlessLost(request);
    } catch (error) {
      throw explain(error);
    }
  }

  async #info(): Promise<StreamInfo> {
    const { streams } = this.manager;
    try {
      return this.#checked(await this.link.unlessLost(streams.info(this.name)));
    } catch (error) {
      if (!isMissingStream(error)) throw explain(error);
    }
    const created = streams.add({
      description: "Channels of Broadcaster",
      subjects: [`${this.name}.>`],
      republish: { src: `${this.name}.>`, dest: `${this.live}.>` },
      allow_direct: true,
      duplicate_window: windowOf(this.#limits.max_age ?? 0),
      ...this.#limits,
    });
    try {
      return await this.link.unlessLost(created);
    } catch (error) {
      // Another process may have been faster, with other limits.
      const there = await streams.info(this.name).catch(() => undefined);
      if (there) return this.#checked(there);
      throw explain(error);
    }
  }

  #checked(info: StreamInfo): StreamInfo {
    const { subjects, republish } = info.config;
    const [src, dest] = [`${this.name}.>`, `${this.live}.>`];
    if (subjects.includes(src) && republish?.src === src && republish.dest === dest) return info;
    throw new RefusedError(
      `stream "${this.name}" is not one of ours: it must have the subject "${src}" and republish it to "${dest}", or choose another one with ?stream=`,
    );
  }
}

/** The header with the time of a message, which servers from 2.10 on write. */
export const TIME_HEADER = "Nats-Time-Stamp";

/** The time at which a message was stored, or sent, in milliseconds since 1970, if it has a header with it. */
export function timeOf({ headers }: Pick<Msg, "headers">): number | undefined {
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
