/**
 * Makes the messages of events, once per event, however many sockets send it.
 *
 * @module
 */

import type { BroadcastEvent } from "../backend/event.ts";
import { kindOf } from "../util/kind.ts";
import { isBytes } from "../util/realm.ts";
import type { SocketData } from "./socket.ts";

/** Makes the data of an event. */
export type Mapper = (event: never) => unknown;

/** The messages of one function. */
export class Messages {
  readonly #map: Mapper;
  readonly #made = new WeakMap<object, SocketData>();
  /** The latest event and its data: sockets send the same event one after the other. */
  #event: object | undefined;
  #data: SocketData | undefined;

  /** The messages of a function, which all sockets that use it share. */
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
   * @throws {TypeError} If the function returns neither a string nor bytes, and what it throws.
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
