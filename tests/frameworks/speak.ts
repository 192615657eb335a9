/** What every example of a framework is asked, from outside, while it runs in a process of its own. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { deadline } from "@std/async";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { EventSourceMessage } from "npm:eventsource-parser@3";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { Broadcast } from "../../mod.ts";
import { parsed, PATIENCE } from "../core/sse/parsed.ts";
import type { App } from "../runtimes/app.ts";
import { DENO, PROVIDED, testOn } from "../runtimes/apps.ts";
import { said, succeed } from "../runtimes/process.ts";
import { PROJECT, Tarball } from "../runtimes/tarball.ts";
import { Proxy } from "../services/proxy.ts";
import { start } from "../services/redis.ts";
import { guard, type Server } from "../services/server.ts";
import { ask, freePort, until } from "../services/service.ts";
import type { Framework } from "./frameworks.ts";
import { Session } from "./session.ts";

/** Less than the 8 seconds after which a comment would show that the client has left. */
const AT_ONCE = 5_000;

const EXAMPLES = join(PROJECT, "examples", "frameworks");

/** The apps that are built. */
const built = new WeakSet<App>();

/**
 * Registers the tests of some frameworks. They share a Redis, and an app with all their packages but
 * those of the frameworks that are built.
 */
export function speakTo(frameworks: readonly Framework[]): void {
  const shared = frameworks.filter(({ build }) => !build);
  const groups = [shared, ...frameworks.filter(({ build }) => build).map((built) => [built])];
  const apps = new Map<Framework, App>();
  let redis: Server;
  Deno.test.beforeAll(async () => {
    await using tarball = await Tarball.pack();
    for (const group of groups) {
      const packages = new Set(group.flatMap(({ packages }) => packages));
      const app = await tarball.install(`ioredis@${CLIENTS.ioredis}`, ...packages);
      for (const framework of group) {
        apps.set(framework, app);
        const { file, place = file, build } = framework;
        await write(app, place, await Deno.readTextFile(join(EXAMPLES, file)));
        for (const [path, text] of Object.entries(build?.files ?? {})) await write(app, path, text);
      }
    }
    const nest = shared.find(({ file }) => file === "nestjs.ts");
    if (nest) await compile(apps.get(nest)!, [nest.file]);
    redis = await start();
  });
  Deno.test.afterAll(async () => {
    await redis?.[Symbol.asyncDispose]();
    for (const app of new Set(apps.values())) await app[Symbol.asyncDispose]();
  });
  for (const framework of frameworks) {
    const runtime = [DENO, ...PROVIDED].find(({ name }) => name === framework.runtime)!;
    const name = framework.name.replaceAll("`", "");

    testOn(
      runtime,
      `${name}: a client that leaves is released at once, and SIGTERM ends it`,
      (path) => releases(apps.get(framework)!, path, framework, redis),
    );

    testOn(
      runtime,
      `${name}: a client that was cut off resumes`,
      (path) => resumes(apps.get(framework)!, path, framework, redis),
    );

    if (framework.isHttp2) {
      testOn(
        runtime,
        `${name}: a stream that is closed leaves the others of its session`,
        (path) => multiplexes(apps.get(framework)!, path, framework, redis),
      );
    }
  }
}

async function releases(app: App, path: string, framework: Framework, redis: Server) {
  await using proxy = await Proxy.start(redis.port);
  const url = `${proxy.url(redis.url)}?linger=0`;
  await using example = await Example.start(app, path, framework, url);

  // HEAD is answered, and subscribes to nothing.
  const { url: target } = framework.ask(example.base);
  const head = await example.fetch(new Request(target, { method: "HEAD" }));
  assertEquals([head.status, await head.text()], [framework.head, ""]);
  if (head.status === 200) assertMatch(head.headers.get("content-type")!, /^text\/event-stream/);
  await subscribed(redis, 0);

  // No middleware holds an event back.
  const first = await Client.join(example, framework.ask(example.base));
  await subscribed(redis, 1);
  await example.publish("hello");
  assertMatch(await first.next(), /hello/);
  assertEquals(first.response.headers.get("content-encoding") ?? "none", "none");
  await first.leave();
  await subscribed(redis, 0);

  // The broker has got the request for a subscription, and its answer is on the way.
  proxy.stallReplies();
  const second = new AbortController();
  const asked = example.fetch(framework.ask(example.base), second.signal).catch(() => undefined);
  await subscribed(redis, 1);
  second.abort();
  await asked;
  proxy.resume();
  await subscribed(redis, 0);

  // One that is there does not keep the process, although it comes back as soon as it is let go.
  const last = await enter(example, framework);
  await subscribed(redis, 1);
  assertEquals(await example.terminate(), { code: framework.code ?? 0, stderr: "" });
  await last.leave();
}

async function resumes(app: App, path: string, framework: Framework, redis: Server) {
  const url = redis.url.replace(/^redis/, "redis-stream");
  await using broadcast = new Broadcast(url);
  await using example = await Example.start(app, path, framework, url);
  await using wire = await Proxy.start(example.port);
  const base = `http://127.0.0.1:${wire.port}`;
  let client = await enter(example, framework, base);
  // An iterator is asked for its first event behind the headers: nothing shows when.
  const first = client.next();
  for (let heard = false; !heard;) {
    await example.publish("first");
    const waiting = new AbortController();
    const waited = pause(100, false, { signal: waiting.signal }).catch(() => false);
    heard = await Promise.race([first.then(() => true), waited]);
    waiting.abort();
  }
  assertMatch(await first, /first/);

  wire.refuse();
  wire.cut();
  await broadcast.publish("news", "second");
  await wire.accept();
  if (client instanceof Client) {
    const { id } = client;
    await client.leave();
    client = await Client.join(example, framework.ask(base, id));
  }
  const resumed: string[] = [];
  while (!resumed.at(-1)?.includes("second")) resumed.push(await client.next());
  await broadcast.publish("news", "third");
  resumed.push(await client.next());
  await client.leave();
  const words = resumed.map((data) => /first|second|third/.exec(data)?.[0]);
  assertEquals(words.filter((word) => word !== "first"), ["second", "third"]);
  assert(!resumed.join().includes('"gap"'));
}

/** Joins as a browser does, if one can. */
async function enter(example: Example, { ask, eventSource }: Framework, base = example.base) {
  const request = ask(base);
  return eventSource ? await Browser.join(request.url) : await Client.join(example, request);
}

/** Clients that share a session come and go one by one: the broker sees when the last has left. */
async function multiplexes(app: App, path: string, framework: Framework, redis: Server) {
  await using proxy = await Proxy.start(redis.port);
  const url = `${proxy.url(redis.url)}?linger=0`;
  await using example = await Example.start(app, path, framework, url);
  await using session = await Session.connect(example.base);
  const [first, second, third] = [session.ask(), session.ask(), session.ask()];
  await Promise.all([first, second, third].map((stream) => stream.until(/id: /)));
  await subscribed(redis, 1);

  await first.leave();
  await example.publish("one");
  await Promise.all([second, third].map((stream) => stream.until(/one/)));
  await second.leave();
  await example.publish("two");
  await third.until(/two/);
  await third.leave();
  assertEquals([first, second].map(({ text }) => /one|two/.exec(text)?.[0]), [undefined, "one"]);
  // None of the three has kept its own: the session is open, and serves the next.
  await subscribed(redis, 0);
  const fourth = session.ask();
  await fourth.until(/id: /);
  await subscribed(redis, 1);

  // One leaves while it subscribes, and its neighbor stays.
  await fourth.leave();
  await subscribed(redis, 0);
  proxy.stallReplies();
  const [gone, kept] = [session.ask(), session.ask()];
  await subscribed(redis, 1);
  await gone.leave();
  proxy.resume();
  await kept.until(/id: /);
  await example.publish("three");
  await kept.until(/three/);
  assert(!/id: /.test(gone.text));

  // All leave at once when the session is cut off.
  const neighbor = session.ask();
  await neighbor.until(/id: /);
  session.cut();
  await Promise.all([kept.closed, neighbor.closed]);
  await subscribed(redis, 0);
  assertEquals(await example.terminate(), { code: 0, stderr: "" });
}

/** Frameworks that compile their routes do it once, before the first test. */
async function build(app: App, path: string, { build }: Framework): Promise<void> {
  if (!build || built.has(app)) return;
  await succeed(path, build.command, { cwd: app.folder });
  built.add(app);
}

async function write(app: App, path: string, text: string): Promise<void> {
  await Deno.mkdir(join(app.folder, dirname(path)), { recursive: true });
  await app.write(path, text);
}

/** Decorators have to be compiled. */
async function compile(app: App, sources: readonly string[]): Promise<void> {
  const compiler = join(app.folder, "node_modules", ".bin", "tsc");
  const flags = ["--module", "nodenext", "--target", "es2022", "--strict", "--types", "node"];
  const decorators = ["--experimentalDecorators", "--emitDecoratorMetadata"];
  const outcome = await app.run(compiler, [...flags, ...decorators, "--skipLibCheck", ...sources]);
  assertEquals(said(outcome), "");
}

/** The number of processes that are subscribed, as the broker sees it, within what is at once. */
async function subscribed(redis: Server, count: number): Promise<void> {
  const expected = new TextEncoder().encode(`*2\r\n$4\r\nnews\r\n:${count}\r\n`);
  const isExpected = (reply: Uint8Array) => `${reply}` === `${expected}`;
  await until(
    () => ask(redis.port, "PUBSUB NUMSUB news\r\n", isExpected),
    `${count} subscribed`,
    AT_ONCE,
  );
}

/** An example that runs. */
class Example implements AsyncDisposable {
  readonly port: number = freePort();
  readonly base = `http://127.0.0.1:${this.port}`;
  readonly #client: Deno.HttpClient;
  readonly #publish: Framework["publish"];
  readonly #process: Deno.ChildProcess;
  readonly #stderr: Promise<string>;

  private constructor(app: App, path: string, framework: Framework, url: string) {
    const { file, runtime, publish, command: own, isHttp2 = false } = framework;
    this.#client = Deno.createHttpClient({ http1: !isHttp2, http2: isHttp2 });
    this.#publish = publish;
    // Deno gets the package from JSR: its sources, as they are.
    const flags = ["run", "-A", "--no-prompt", "--no-check", "--quiet"];
    const args = runtime === "Deno"
      ? [...flags, "--import-map", join(PROJECT, "tests", "import_map.json"), join(EXAMPLES, file)]
      : own?.(this.port) ?? [file.replace(/ts$/, "js")];
    const [command, ...rest] = [...guard(), path, ...args];
    this.#process = new Deno.Command(command!, {
      args: rest,
      cwd: app.folder,
      env: {
        HOST: "127.0.0.1",
        PORT: `${this.port}`,
        BROADCASTER_URL: url,
        NO_COLOR: "1",
        NEXT_TELEMETRY_DISABLED: "1",
      },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#stderr = new Response(this.#process.stderr).text();
  }

  static async start(app: App, path: string, framework: Framework, url: string) {
    await build(app, path, framework);
    const example = new Example(app, path, framework, url);
    try {
      await until(() => isOpen(example.port), `${framework.file} listens`, PATIENCE);
      return example;
    } catch (error) {
      await example[Symbol.asyncDispose]();
      throw new Error(await example.#stderr, { cause: error });
    }
  }

  /** Asks it, in the version of HTTP that it speaks. */
  fetch(request: Request, signal: AbortSignal | null = null): Promise<Response> {
    return fetch(request, { client: this.#client, signal });
  }

  async publish(text: string): Promise<void> {
    const response = await this.fetch(this.#publish(this.base, text));
    const answer = await response.text();
    assert(response.ok, `${response.status} ${answer}`);
  }

  /** Asks it to end; resolves with how it did. */
  async terminate(): Promise<{ code: number; stderr: string }> {
    this.#process.kill("SIGTERM");
    const { code } = await deadline(this.#process.status, AT_ONCE);
    return { code, stderr: await this.#stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      // In good order: what it has started itself has to end, too.
      this.#process.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await deadline(this.#process.status, PATIENCE);
    await this.#stderr;
    this.#client.close();
  }
}

/** Reads events by `fetch()`. */
class Client {
  readonly response: Response;
  /** The id of the last event. */
  id: string | undefined;
  readonly #abort: AbortController;
  readonly #events: ReturnType<typeof parsed>;

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.#abort = abort;
    this.#events = parsed(response.body!);
  }

  static async join(example: Example, request: Request): Promise<Client> {
    const abort = new AbortController();
    const response = await deadline(example.fetch(request, abort.signal), PATIENCE);
    if (response.ok) return new Client(response, abort);
    throw new Error(`${response.status} ${await response.text()}`);
  }

  /** The data of the next message. */
  async next(): Promise<string> {
    for (;;) {
      const [{ id, data }] = await this.#events.take(1) as [EventSourceMessage];
      this.id = id ?? /"id":"([^"]+)"/.exec(data)?.[1];
      if (this.id !== undefined) return data;
    }
  }

  async leave(): Promise<void> {
    this.#abort.abort();
    await this.#events.cancel().catch(() => {});
  }
}

/** Reads events as a browser does, and comes back by itself. */
class Browser {
  readonly #source: EventSource;
  readonly #received: string[] = [];
  #wake = () => {};

  private constructor(url: string) {
    this.#source = new EventSource(url);
    for (const type of ["message", "gap"]) {
      this.#source.addEventListener(type, (event) => {
        const { data } = event as MessageEvent<string>;
        this.#received.push(type === "gap" ? `{"gap":${data}}` : data);
        this.#wake();
      });
    }
  }

  static async join(url: string): Promise<Browser> {
    const browser = new Browser(url);
    const { promise, resolve } = Promise.withResolvers<void>();
    browser.#source.addEventListener("open", () => resolve(), { once: true });
    await deadline(promise, PATIENCE);
    return browser;
  }

  /** The data of the next message. */
  async next(): Promise<string> {
    while (this.#received.length === 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await deadline(promise, PATIENCE);
    }
    return this.#received.shift()!;
  }

  leave(): void {
    this.#source.close();
  }
}

async function isOpen(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}
