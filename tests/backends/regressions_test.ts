/** Brokers that are silent, that hang up, that are half-open: each case has a broker of its own. */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { deadline } from "@std/async";
import postgres, { type Sql } from "postgres";
import { postgres as postgresSource } from "../../backends/postgres/pubsub.ts";
import { Broadcast, ConnectionError, OutcomeUnknownError } from "../../mod.ts";
import { messages, take, uniqueChannel } from "../conformance/harness.ts";
import { withBroker } from "../services/broker.ts";
import { certify } from "../services/certificate.ts";
import { start as startPostgres } from "../services/postgres.ts";
import { Proxy } from "../services/proxy.ts";
import { start as startRedis } from "../services/redis.ts";
import type { Server } from "../services/server.ts";
import { freePort } from "../services/service.ts";
import { state } from "./rig.ts";

/** What takes longer has hung. */
const PATIENCE = 60_000;
/** What happens at once takes no longer, on a slow machine either. */
const AT_ONCE = 8_000;

for (const scheme of ["redis", "postgres"]) {
  Deno.test(`${scheme}: disconnect() settles at once while a server does not answer`, async () => {
    await using server = await Stranger.start(() => {});
    const broadcast = new Broadcast(`${scheme}://127.0.0.1:${server.port}`);
    const connecting = assertRejects(() => broadcast.connect());
    await deadline(server.called, PATIENCE);
    await deadline(broadcast.disconnect(), AT_ONCE);
    await deadline(connecting, AT_ONCE);
  });

  Deno.test(`${scheme}: a server that hangs up at once rejects, and is not besieged`, async () => {
    await using server = await Stranger.start((socket) => socket.end());
    const broadcast = new Broadcast(`${scheme}://127.0.0.1:${server.port}`);
    await assertRejects(() => deadline(broadcast.connect(), AT_ONCE), ConnectionError);
    assertEquals(broadcast.state, "idle");
    await deadline(broadcast.disconnect(), AT_ONCE);
    assert(server.calls <= 2, `${server.calls} connections`);
  });
}

Deno.test("postgres: a server that accepts connections and is silent is told by its address", async () => {
  await using server = await Stranger.start(() => {});
  const broadcast = new Broadcast(`postgres://user:s3cret@127.0.0.1:${server.port}/db`);
  const error = await assertRejects(
    () => deadline(broadcast.connect(), PATIENCE),
    ConnectionError,
  );
  assertEquals(
    error.message,
    `Cannot connect to postgres://127.0.0.1:${server.port}/db: 127.0.0.1:${server.port} did not answer within 10 s: perhaps it is no Postgres server`,
  );
  await broadcast.disconnect();
});

withBroker("redis", () => {
  unanswered("redis", startRedis);
  patient("redis", startRedis);

  Deno.test("rediss: a server without a name is reached by its address", async () => {
    const folder = await Deno.makeTempDir({ prefix: "tls-" });
    try {
      const port = freePort();
      const { certificate, key } = await certify(folder);
      await using _ = await startRedis({
        args: [
          ...["--tls-port", `${port}`, "--tls-auth-clients", "no"],
          ...["--tls-cert-file", certificate, "--tls-key-file", key],
          ...["--tls-ca-cert-file", certificate],
        ],
      });
      const url = `rediss://127.0.0.1:${port}`;
      const program = `
        const broadcast = new Broadcast("${url}");
        const subscription = await broadcast.subscribe("chatroom");
        await broadcast.publish("chatroom", "hello");
        for await (const { message } of subscription) {
          console.log(message);
          break;
        }
        await broadcast.disconnect();
      `;
      assertEquals(await child(program, { DENO_CERT: certificate }), { code: 0, output: "hello" });
      // Who does not know the certificate gets as far as to refuse it.
      const broadcast = new Broadcast(url);
      const error = await assertRejects(() => deadline(broadcast.connect(), PATIENCE), Error);
      assert(/certificate/i.test(error.message), error.message);
      await broadcast.disconnect();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
});

withBroker("postgres", (url) => {
  unanswered("postgres", startPostgres);
  patient("postgres", startPostgres);

  Deno.test("postgres: a cut connection of the user's client does not end the process", async () => {
    await using server = await startPostgres();
    const program = `
      const { default: postgres } = await import("postgres");
      const { postgres: source } = await import("./backends/postgres/pubsub.ts");
      const { Proxy } = await import("./tests/services/proxy.ts");
      const { until } = await import("./tests/services/service.ts");
      const proxy = await Proxy.start(${server.port});
      const client = postgres(proxy.url("${server.url}"));
      const broadcast = new Broadcast(source({ sql: client }));
      await broadcast.publish("${uniqueChannel()}", "before");
      for (let time = 0; time < 3; time++) {
        proxy.cut();
        await until(() => proxy.connections === 0, "Cannot cut");
        const outcomes = await Promise.allSettled(
          ["a", "b"].map((message) => broadcast.publish("${uniqueChannel()}", message)),
        );
        for (const { status, reason } of outcomes) {
          if (status === "rejected" && reason.name !== "OutcomeUnknownError") throw reason;
        }
      }
      await broadcast.publish("${uniqueChannel()}", "after");
      console.log("survived");
      await broadcast.disconnect();
      await client.end();
      await proxy[Symbol.asyncDispose]();
    `;
    assertEquals(await child(program), { code: 0, output: "survived" });
  });

  Deno.test("postgres: one listener of the user's client serves a channel over losses", async () => {
    await using server = await startPostgres();
    await using proxy = await Proxy.start(server.port);
    const client = postgres(proxy.url(server.url));
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresSource({ sql: client }));
    const subscription = await broadcast.subscribe(channel);
    for (let time = 1; time <= 3; time++) {
      const next = take(subscription, 1);
      const told = new Promise<void>((resolve) =>
        broadcast.addEventListener("gap", () => resolve(), { once: true })
      );
      proxy.cut();
      await deadline(told, PATIENCE);
      await settled(broadcast, channel, `${time}`);
      const [event] = await deadline(next, PATIENCE);
      assertEquals([event!.message, event!.gap!.cause], [`${time}`, "disconnect"]);
      assertEquals(listeners(client, channel), 1);
    }
    // Nothing came twice.
    await broadcast.publish(channel, "last");
    assertEquals(await deadline(messages(subscription, 1), PATIENCE), ["last"]);
    await broadcast.disconnect();
    // The listener that the client has made again stays with it, and does no harm.
    const again = new Broadcast(postgresSource({ sql: client }));
    const heard = await again.subscribe(channel);
    await again.publish(channel, "again");
    assertEquals(await deadline(messages(heard, 1), PATIENCE), ["again"]);
    await again.disconnect();
    await client.end();
  });

  Deno.test("postgres: a channel that is left is left by the user's client as well", async () => {
    const client = postgres(url);
    const channel = uniqueChannel();
    const broadcast = new Broadcast(postgresSource({ sql: client }));
    await broadcast.subscribe(channel);
    assertEquals(listeners(client, channel), 1);
    await broadcast.disconnect();
    assertEquals(listeners(client, channel), 0);
    await client.end();
  });
});

/** What was sent on a half-open connection is given up with the broadcast. */
function unanswered(name: string, start: () => Promise<Server>): void {
  Deno.test(`${name}: disconnect() gives up a publish that is not answered in time`, async () => {
    await using server = await start();
    await using proxy = await Proxy.start(server.port);
    const broadcast = new Broadcast(`${proxy.url(server.url)}?timeout=300ms&probe=0`);
    const channel = uniqueChannel();
    await broadcast.publish(channel, "answered");
    proxy.stall();
    const published = assertRejects(
      () => broadcast.publish(channel, "unanswered"),
      OutcomeUnknownError,
    );
    await deadline(broadcast.disconnect(), AT_ONCE);
    await deadline(published, AT_ONCE);
  });
}

/** A timeout that no timer can count to is no timeout of a millisecond. */
function patient(name: string, start: () => Promise<Server>): void {
  Deno.test(`${name}: ?timeout=999999999d waits for the broker`, async () => {
    await using server = await start();
    await using proxy = await Proxy.start(server.port);
    const broadcast = new Broadcast(`${proxy.url(server.url)}?timeout=999999999d`);
    const channel = uniqueChannel();
    const subscription = await broadcast.subscribe(channel);
    const gone = state(broadcast, "reconnecting");
    proxy.refuse();
    proxy.cut();
    await deadline(gone, PATIENCE);
    const calls = Promise.allSettled([
      broadcast.publish(channel, "x"),
      broadcast.subscribe(uniqueChannel()),
    ]);
    // A timer that had overrun would end before the next attempt.
    await proxy.accept();
    const outcomes = await deadline(calls, PATIENCE);
    assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled"]);
    assertEquals(await deadline(messages(subscription, 1), PATIENCE), ["x"]);
    await broadcast.disconnect();
  });
}

/** Publishes until that has worked: the client may find its connection cut only now. */
async function settled(broadcast: Broadcast, channel: string, message: string): Promise<void> {
  for (;;) {
    try {
      await broadcast.publish(channel, message);
      return;
    } catch (error) {
      if (!(error instanceof OutcomeUnknownError)) throw error;
    }
  }
}

/** How many listeners of a client serve a channel; the client does not tell. */
function listeners(client: Sql, channel: string): number {
  const { channels } = client.listen as unknown as {
    channels: Record<string, { listeners: unknown[] }>;
  };
  return channels[channel]?.listeners.length ?? 0;
}

/** Runs a program that has `Broadcast`, in a process of its own. */
async function child(
  program: string,
  env: Record<string, string> = {},
): Promise<{ code: number; output: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", `import { Broadcast } from "./mod.ts";\n${program}`],
    cwd: join(import.meta.dirname!, "..", ".."),
    env,
    stdin: "null",
    signal: AbortSignal.timeout(PATIENCE),
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { code, output: code === 0 ? text(stdout) : text(stderr) };
}

/** A server that speaks no protocol. */
class Stranger implements AsyncDisposable {
  readonly port: number;
  /** How many connections it has had. */
  calls = 0;
  /** Resolves with the first one. */
  readonly called: Promise<void>;
  readonly #server = createServer((socket) => this.#receive(socket));
  readonly #sockets = new Set<Socket>();
  readonly #answer: (socket: Socket) => void;
  readonly #onCall: () => void;

  private constructor(answer: (socket: Socket) => void) {
    this.port = freePort();
    this.#answer = answer;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.called = promise;
    this.#onCall = resolve;
  }

  /** Starts one that does so to each connection. */
  static async start(answer: (socket: Socket) => void): Promise<Stranger> {
    const stranger = new Stranger(answer);
    stranger.#server.listen(stranger.port, "127.0.0.1");
    await once(stranger.#server, "listening");
    return stranger;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #receive(socket: Socket): void {
    this.calls++;
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    this.#answer(socket);
    this.#onCall();
  }
}
