/**
 * An event stream as a web stream of bytes.
 *
 * @module
 */

import type { EventStream, Sink } from "./event_stream.ts";

/** The number of bytes that wait for the reader. Events beyond that stay in the ring. */
const ROOM = 64 * 1024;

/** The web stream of an event stream. */
export function byteStream(stream: EventStream<unknown>): ReadableStream<Uint8Array> {
  // A byte stream would detach the frame that all streams share.
  return new ReadableStream(
    new ByteSource(stream),
    new ByteLengthQueuingStrategy({ highWaterMark: ROOM }),
  );
}

/** Underlying source of the web stream. */
class ByteSource implements UnderlyingDefaultSource<Uint8Array>, Sink {
  hasRoom = true;
  readonly #stream: EventStream<unknown>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  /** Resolves the pending `pull()`. */
  #resolve: () => void = () => {};

  constructor(stream: EventStream<unknown>) {
    this.#stream = stream;
  }

  get isEmpty(): boolean {
    return this.#controller.desiredSize === ROOM;
  }

  start(controller: ReadableStreamDefaultController<Uint8Array>): void {
    this.#controller = controller;
    this.#stream.start(this);
  }

  /**
   * Stays pending while there is room. Otherwise the platform would call it again for each chunk.
   */
  pull(): Promise<void> {
    this.hasRoom = true;
    this.#stream.resume();
    return this.hasRoom ? new Promise((resolve) => this.#resolve = resolve) : Promise.resolve();
  }

  async cancel(): Promise<void> {
    await this.#stream.cancel();
  }

  write(chunk: Uint8Array): void {
    const controller = this.#controller;
    controller.enqueue(chunk);
    this.hasRoom = (controller.desiredSize ?? 0) > 0;
    if (!this.hasRoom) this.#resolve();
  }

  close(): void {
    try {
      this.#controller.close();
    } catch {
      // The stream is already closed, cancelled or errored.
    }
  }

  fail(error: unknown): void {
    this.#controller.error(error);
  }
}
