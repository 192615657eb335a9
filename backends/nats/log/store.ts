/**
 * The stream that stores all channels: created, looked up, and its state.
 *
 * @module
 */

import type { JetStreamManager, StoredMsg, StreamConfig, StreamInfo } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import { ConnectionError, RefusedError } from "../../../core/backend/errors.ts";
import type { Link } from "../link.ts";
import { windowOf } from "./keys.ts";
import { epochOf } from "./place.ts";

/** What a stream is created with. */
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
  /** Tells it from the one that had its name before. */
  readonly epoch: string;
  /** The sequence of its oldest message; one beyond the last if there is none. */
  readonly first: number;
  /** The sequence of the last message that there ever was. */
  readonly last: number;
  /** How many are missing between them. */
  readonly deleted: number;
  /** Whether the oldest of a channel make way for its newest. */
  readonly isCapped: boolean;
  /** How long it knows keys, in milliseconds. */
  readonly window: number;
}

/** How many that are missing in the midst are looked at. */
const MOST_DELETED = 10_000;

/** One stream on a server. */
export class Store {
  /** Its name, which every subject of it begins with. */
  readonly name: string;
  /** The connection. */
  readonly link: Link;
  /** What manages streams and consumers. */
  readonly manager: JetStreamManager;
  readonly #limits: Limits;
  #asking: Promise<State> | undefined;
  #next: Promise<State> | undefined;

  /**
   * @param link The connection.
   * @param manager What manages streams and consumers.
   * @param limits What the stream is created with, if there is none.
   */
  constructor(link: Link, manager: JetStreamManager, limits: Limits) {
    this.name = limits.name;
    this.link = link;
    this.manager = manager;
    this.#limits = limits;
  }

  /** Under which the server tells of what it has stored. */
  get live(): string {
    return `${this.name}-live`;
  }

  /** Whether the server tells the time of a message live, too: before version 2.10 only in a page. */
  get tellsTime(): boolean {
    const [major = 0, minor = 0] = (this.link.client.info?.version ?? "").split(".").map(Number);
    return major > 2 || major === 2 && minor >= 10;
  }

  /**
   * What it is now: those who ask while a question is under way share the next
   * one. If it is not there it is created.
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

  /** Which sequences of a range are missing; `undefined` if they are too many to tell. */
  async deleted(from: number, to: number): Promise<number[] | undefined> {
    const { streams } = this.manager;
    const { state } = await this.call(streams.info(this.name, { deleted_details: true }));
    if (state.num_deleted > MOST_DELETED) return undefined;
    return (state.deleted ?? []).filter((sequence) => sequence >= from && sequence <= to);
  }

  /** The last message of a subject, or one that may still be there. */
  async find(query: { last_by_subj: string } | { seq: number }): Promise<StoredMsg | undefined> {
    return await this.call(this.manager.streams.getMessage(this.name, query)) ?? undefined;
  }

  /** Settles as a request does, with the errors that the core knows. */
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
      if ((error as Error).name !== "StreamNotFoundError") throw explain(error);
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

/** The header that has the time of a message: from version 2.10 on the server writes it. */
export const TIME_HEADER = "Nats-Time-Stamp";

/** When a message was stored, or sent, in milliseconds since 1970, if its header says so. */
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

/** What an error of the client means. */
function explain(error: unknown): unknown {
  if (error instanceof ConnectionError || error instanceof RefusedError) return error;
  const { name, message, status } = error as Error & { status?: number };
  if (name === "JetStreamNotEnabled") {
    return new RefusedError("the server has no JetStream, start it with -js", { cause: error });
  }
  // One without a leader, for now.
  if (name !== "JetStreamApiError" || status === 503) {
    return new ConnectionError(`JetStream did not answer: ${message}`, { cause: error });
  }
  return new RefusedError(message, { cause: error });
}
