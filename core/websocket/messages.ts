/**
 * Converts events to messages, once for each event, however many sockets send it.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { kindOf } from "../util/kind.ts";
import { isBytes } from "../util/realm.ts";
import type { SocketData } from "./socket.ts";

/** Converts an event to the data of a message. */
export type Mapper = (event: never) => unknown;

/** The messages that one function makes. */
export class Messages {
  readonly #map: Mapper;
  readonly #made = new WeakMap<object, SocketData>();
  /** The latest event and its data, since sockets send the same event one after the other. */
  #event: object | undefined;
  #data: SocketData | undefined;

  /** Returns the messages of a function. All sockets with this function share them. */
  static of(map: Mapper = JSON.stringify): Messages {
    if (typeof map !== "function") {
      throw new TypeError(
        `Cannot send to WebSocket: option map must be a function, it is ${kindOf(map)}`,
      );
    }
    const known = messages.get(map) ?? new Messages(map);
    messages.set(map, known);
    return known;
  }

  private constructor(map: Mapper) {
    this.#map = map;
  }

  /**
   * The data of an event.
   *
   * @throws {TypeError} If the function returns neither a string nor bytes. An error of the
   * function is passed on.
   */
  data(event: BroadcastEvent<unknown>): SocketData {
    if (event === this.#event) return this.#data!;
    let data = this.#made.get(event);
    if (data === undefined) {
      data = this.#make(event);
      this.#made.set(event, data);
    }
    this.#event = event;
    this.#data = data;
    return data;
  }

  #make(event: BroadcastEvent<unknown>): SocketData {
    const data = this.#map(event as never);
    if (typeof data === "string" || isBytes(data)) return data as SocketData;
    throw new TypeError(`option map must return a string or bytes, it returned ${kindOf(data)}`);
  }
}

/** Messages by function. */
const messages = new WeakMap<Mapper, Messages>();
