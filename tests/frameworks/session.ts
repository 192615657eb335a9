/** A session of HTTP/2 without TLS, with a stream for each client, by `node:http2`. */

import { deadline } from "@std/async";
import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { PATIENCE } from "../core/sse/parsed.ts";

/** A session that is open. */
export class Session implements AsyncDisposable {
  readonly #session: ClientHttp2Session;
  readonly #closed: Promise<unknown>;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
    this.#closed = new Promise<void>((resolve) => session.once("close", resolve));
  }

  static async connect(base: string): Promise<Session> {
    const session = connect(base);
    await once(session, "connect");
    return new Session(session);
  }

  /** Asks for the events, in a stream of its own. */
  ask(): Stream {
    return new Stream(this.#session.request({ ":path": "/news" }));
  }

  /** Ends the connection, without any farewell. */
  cut(): void {
    this.#session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
    await deadline(this.#closed, PATIENCE);
  }
}

/** The events of one client. */
export class Stream {
  /** All that came. */
  text = "";
  /** Resolves once it is closed, by either side. */
  readonly closed: Promise<void>;
  readonly #stream: ClientHttp2Stream;

  constructor(stream: ClientHttp2Stream) {
    this.#stream = stream;
    this.closed = new Promise((resolve) => stream.once("close", resolve));
    stream.setEncoding("utf8").on("data", (text: string) => this.text += text);
  }

  /** Waits for a text to come. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.text)) {
      await deadline(Promise.race([once(this.#stream, "data"), this.#end()]), PATIENCE);
    }
  }

  /** Closes it alone. */
  async leave(): Promise<void> {
    this.#stream.close(constants.NGHTTP2_CANCEL);
    await deadline(this.closed, PATIENCE);
  }

  async #end(): Promise<never> {
    await this.closed;
    throw new Error(`The stream has ended after ${JSON.stringify(this.text)}`);
  }
}
