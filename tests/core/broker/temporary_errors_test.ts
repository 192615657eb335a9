/** Calls that the broker cannot serve for now. */

import { assertEquals, assertRejects } from "@std/assert";
import { MemoryBackend } from "../../../backends/memory/log.ts";
import type {
  Backend,
  OutgoingPayload,
  Page,
  ReadOptions,
  Tail,
  TailOptions,
  Target,
} from "../../../core/backend/contract.ts";
import { TemporaryError, UnknownReplyError } from "../../../core/backend/errors.ts";
import {
  Broadcast,
  ClosedError,
  ConnectionError,
  OutcomeUnknownError,
  RefusedError,
} from "../../../mod.ts";

Deno.test("messages of a channel wait for the end of a temporary error, in their order", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  backend.refuse("orders", 3, () => new TemporaryError("out of memory"));
  const orders = ["1", "2", "3"].map((message) => broadcast.publish("orders", message));
  await broadcast.publish("other", "not held back");
  assertEquals(backend.stored, ["other not held back"]);
  await Promise.all([...orders, broadcast.publish("orders", "4")]);
  assertEquals(backend.stored.slice(1), ["orders 1", "orders 2", "orders 3", "orders 4"]);
});

Deno.test("a message is refused once a later one of its channel is stored", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  backend.refuse("orders", 1, () => new TemporaryError("over quota"));
  const first = assertRejects(() => broadcast.publish("orders", "1"), RefusedError);
  await broadcast.publish("orders", "2");
  assertEquals(
    (await first).message,
    'Cannot publish to "orders": over quota, and a later message of the channel may be published already',
  );
  assertEquals(backend.stored, ["orders 2"]);
});

Deno.test("a message that waits longer than the timeout was not published", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend, { timeout: 60 });
  backend.refuse("orders", Infinity, () => new TemporaryError("no leader"));
  const messages = ["1", "2"].map((message) => broadcast.publish("orders", message));
  const errors = messages.map((message) => assertRejects(() => message, ConnectionError));
  for (const error of await Promise.all(errors)) {
    assertEquals(
      error.message,
      'Cannot publish to "orders": memory:// could not store it for 0.06 s, no leader; the message was not published',
    );
  }
  // The next one does not wait for an attempt that nobody needs any more.
  backend.refuse("orders", 0, () => new TemporaryError("no leader"));
  await broadcast.publish("orders", "3");
  assertEquals(backend.stored, ["orders 3"]);
});

Deno.test("a message whose outcome the broker does not tell is unknown, and its connection stays", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  const states: string[] = [];
  broadcast.addEventListener("statechange", ({ state }) => states.push(state));
  backend.refuse("orders", 1, () => new OutcomeUnknownError("the channel was closed"));
  const error = await assertRejects(() => broadcast.publish("orders", "1"), OutcomeUnknownError);
  assertEquals(
    error.message,
    'Cannot confirm message to "orders": the channel was closed, it may or may not be published',
  );
  assertEquals(states, ["connecting", "connected"]);
});

Deno.test("an unknown reply is retried on a new session, and refused if it comes again", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  const unknown = () => {
    backend.connected = false;
    return new UnknownReplyError("ERR what is this");
  };
  backend.refuse("orders", 1, unknown);
  await broadcast.publish("orders", "1");
  assertEquals(backend.sessions, 2);
  backend.refuse("orders", 2, unknown);
  const refused = await assertRejects(() => broadcast.publish("orders", "2"), RefusedError);
  assertEquals(refused.message, 'Cannot publish to "orders": ERR what is this');
  await broadcast.publish("orders", "3");
  assertEquals(backend.stored, ["orders 1", "orders 3"]);
});

Deno.test("disconnect() fails messages that wait for the end of a temporary error", async () => {
  const backend = new Moody();
  const broadcast = new Broadcast(backend, { timeout: 50 });
  backend.refuse("orders", Infinity, () => new TemporaryError("no leader"));
  const published = assertRejects(() => broadcast.publish("orders", "1"));
  await broadcast.disconnect();
  const error = await published;
  assertEquals(error instanceof ConnectionError || error instanceof ClosedError, true);
  assertEquals(backend.stored, []);
});

Deno.test("a first subscribe waits for the end of a temporary error, and so does history()", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  await broadcast.publish("orders", "1");
  backend.unready = 2;
  await using subscription = await broadcast.subscribe("orders", { history: 1 });
  backend.unready = 2;
  assertEquals((await broadcast.history("orders")).map(({ message }) => message), ["1"]);
  for await (const { message } of subscription) {
    assertEquals(message, "1");
    break;
  }
});

Deno.test("a subscribe that waits longer than the timeout rejects with the reason", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend, { timeout: 60 });
  backend.unready = Infinity;
  const subscribed = await assertRejects(() => broadcast.subscribe("orders"), ConnectionError);
  assertEquals(subscribed.message, 'Cannot subscribe to "orders": it is a standby');
  const read = await assertRejects(() => broadcast.history("orders"), ConnectionError);
  assertEquals(read.message, 'Cannot read history of "orders": it is a standby');
});

Deno.test("a subscribe that meets the same unknown reply on two sessions is refused", async () => {
  const backend = new Moody();
  await using broadcast = new Broadcast(backend);
  backend.unready = Infinity;
  backend.unreadyError = () => {
    backend.connected = false;
    return new UnknownReplyError("ERR what is this");
  };
  const error = await assertRejects(() => broadcast.subscribe("orders"), RefusedError);
  assertEquals(error.message, 'Cannot subscribe to "orders": ERR what is this');
  assertEquals(backend.sessions, 2);
});

/** A broker that cannot serve some calls for now. */
class Moody implements Backend {
  readonly name = "memory";
  readonly address = "memory://";
  /** Messages as `channel message`, in the order in which they were stored. */
  readonly stored: string[] = [];
  /** Number of calls of `connect()`. */
  sessions = 0;
  connected = false;
  /** Number of tails and pages that are still refused. */
  unready = 0;
  unreadyError = (): Error => new TemporaryError("it is a standby");
  readonly #memory = new MemoryBackend();
  readonly features = this.#memory.features;
  readonly #refused = new Map<string, { left: number; error: () => Error }>();

  /** Refuses the next messages of a channel. */
  refuse(channel: string, left: number, error: () => Error): void {
    this.#refused.set(channel, { left, error });
  }

  connect(): Promise<void> {
    this.sessions++;
    this.connected = true;
    return Promise.resolve();
  }

  publish(messages: readonly OutgoingPayload[]): readonly Promise<undefined>[] {
    return messages.map(async (message) => {
      const { channel, payload } = message;
      const refused = this.#refused.get(channel);
      if (refused && refused.left-- > 0) throw refused.error();
      this.stored.push(`${channel} ${payload}`);
      await Promise.all([this.#memory.publish([message])].flat());
      return undefined;
    });
  }

  async tail(target: Target, options?: TailOptions): Promise<Tail> {
    if (this.unready-- > 0) throw this.unreadyError();
    return await this.#memory.tail(target, options);
  }

  async read(target: Target, options: ReadOptions): Promise<Page> {
    if (this.unready-- > 0) throw this.unreadyError();
    return await this.#memory.read!(target, options);
  }

  close(): Promise<void> {
    return this.#memory.close();
  }
}
