/** Nothing is loaded, and nothing asked for, before it is needed. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { type Outcome, run, succeed } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";
import { withBroker } from "../services/broker.ts";
import { filesOf } from "./published.ts";

const MODULE = pathToFileURL(join(PROJECT, "mod.ts"));

/** Says what it has heard; the argument is the URL. */
const SCRIPT = `
import { Broadcast } from ${JSON.stringify(MODULE)};

const broadcast = new Broadcast(Deno.args[0]);
const channel = \`lazy-\${crypto.randomUUID()}\`;
console.log("made");
const subscription = await broadcast.subscribe(channel);
await broadcast.publish(channel, "hello");
for await (const event of subscription) {
  console.log(event.message);
  break;
}
await broadcast.disconnect();
`;

Deno.test("memory:// needs no permission, and downloads nothing", async () => {
  await using place = await Place.create();
  const outcome = await place.run("memory://", "--no-prompt");
  assertEquals(outcome, { code: 0, stdout: "made\nhello\n", stderr: "" });
  assertEquals(await place.packages(), []);
});

Deno.test("memory:// downloads nothing where it could, and runs no other backend", async () => {
  await using place = await Place.create();
  const outcome = await place.run("memory://", "-A");
  assertEquals(outcome, { code: 0, stdout: "made\nhello\n", stderr: "" });
  assertEquals(await place.packages(), []);
  const compiled = await place.compiled();
  // The table of URL parameters is no backend.
  const backends = compiled.filter((path) => path.startsWith("backends/"));
  assertEquals(backends.filter((path) => !path.startsWith("backends/memory/")), [
    "backends/parameters.ts",
  ]);
  const other = /^core\/(sse|websocket|delivery)|several_channels|merge|msgpack/;
  assertEquals(compiled.filter((path) => other.test(path)), []);
  assert(compiled.length > 40 && compiled.length <= 80, `${compiled.length} files`);
});

Deno.test("memory:// needs neither npm nor a network", async () => {
  await using place = await Place.create();
  const flags = ["-A", "--deny-net", "--no-remote", "--no-npm", "--cached-only"];
  const outcome = await place.run("memory://", ...flags);
  assertEquals(outcome, { code: 0, stdout: "made\nhello\n", stderr: "" });
});

Deno.test("memory:// downloads nothing with the import map that is published", async () => {
  await using place = await Place.create();
  const outcome = await place.run("memory://", "-A", "--config", join(PROJECT, "deno.json"));
  assertEquals(outcome, { code: 0, stdout: "made\nhello\n", stderr: "" });
  assertEquals(await place.packages(), []);
});

Deno.test("deno task chat downloads nothing for memory://, and the client of another URL", async () => {
  await using place = await Place.create();
  // A port that is taken ends it, after it has connected.
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const memory = await place.task("chat", "memory://", "--port", `${taken.addr.port}`);
  assertStringIncludes(memory.stderr, "the port is in use");
  assertEquals(await place.packages(), []);
  const redis = await place.task("chat", "redis://127.0.0.1:1");
  assertStringIncludes(redis.stderr, "Cannot connect to redis://127.0.0.1:1");
  const clients = Object.keys(CLIENTS);
  const packages = await place.packages();
  assertEquals(packages.filter((name) => clients.includes(name)), ["ioredis"]);
});

withBroker("redis", (url) => {
  Deno.test("redis:// downloads its own client, and no other one", async () => {
    await using place = await Place.create();
    const { stdout, stderr } = await place.run(url, "-A");
    assertEquals(stdout, "made\nhello\n", stderr);
    const packages = await place.packages();
    const clients = ["ioredis", "kafkajs", "postgres"];
    assertEquals(clients.filter((name) => packages.includes(name)), ["ioredis"]);
  });

  for (const scheme of ["redis", "redis-stream"]) {
    Deno.test(`${scheme}:// to one host runs no code of clusters or sentinels`, async () => {
      await using place = await Place.create();
      const { stdout, stderr } = await place.run(url.replace("redis", scheme), "-A");
      assertEquals(stdout, "made\nhello\n", stderr);
      const compiled = (await place.compiled()).filter((path) =>
        path.startsWith("backends/redis/")
      );
      assert(compiled.length > 5, `${compiled.length} files`);
      assertEquals(compiled.filter((path) => /cluster|sentinel/.test(path)), []);
    });
  }
});

Deno.test("a client that cannot be loaded is named, with the reason", async () => {
  await using place = await Place.create();
  const { code, stdout, stderr } = await place.run("redis://localhost", "-A", "--no-npm");
  assertEquals([code, stdout], [1, "made\n"]);
  assertStringIncludes(
    stderr,
    'Cannot load client "ioredis": npm specifiers were requested; but --no-npm is specified. ' +
      "In a bundle, pass a factory with your own client: new Broadcast(redis({ client }))",
  );
  assertStringIncludes(stderr, "Caused by");
});

Deno.test("no module that mod.ts can load imports a package, but for its types", async () => {
  const { stdout } = await succeed(Deno.execPath(), ["info", "--json", "mod.ts"], { cwd: PROJECT });
  const { modules } = JSON.parse(stdout) as { modules: Module[] };
  const imports = modules.flatMap(({ specifier, dependencies = [] }) =>
    dependencies.flatMap(({ code }) => code ? [`${specifier} ${code.specifier}`] : [])
  );
  assertEquals(imports.length > 20, true);
  assertEquals(imports.filter((line) => !/ (file|node):\S+$/.test(line)), []);
});

/** A module of `deno info`. What is imported for its types alone has no `code`. */
interface Module {
  specifier: string;
  dependencies?: { code?: { specifier: string } }[];
}

/** A folder outside of any project, and a cache that is empty. */
class Place implements AsyncDisposable {
  readonly #folder: string;
  readonly #cache: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#cache = join(folder, "cache");
  }

  static async create(): Promise<Place> {
    const place = new Place(await Deno.makeTempDir({ prefix: "lazy-" }));
    await Deno.writeTextFile(join(place.#folder, "main.ts"), SCRIPT);
    return place;
  }

  /** Runs the script. */
  run(url: string, ...flags: string[]): Promise<Outcome> {
    return run(Deno.execPath(), ["run", ...flags, "main.ts", url], {
      cwd: this.#folder,
      env: { DENO_DIR: this.#cache, DENO_NO_UPDATE_CHECK: "1" },
    });
  }

  /** Runs a task of this project. */
  task(...args: string[]): Promise<Outcome> {
    return run(Deno.execPath(), ["task", ...args], {
      cwd: PROJECT,
      env: { DENO_DIR: this.#cache, DENO_NO_UPDATE_CHECK: "1" },
    });
  }

  /** What was downloaded from package registries: `npm/<registry>/<package>`, and so on. */
  async packages(): Promise<string[]> {
    const found: string[] = [];
    for (const kind of ["npm", "remote"]) {
      for (const registry of await namesIn(join(this.#cache, kind))) {
        found.push(...await namesIn(join(this.#cache, kind, registry)));
      }
    }
    return found;
  }

  /** The modules that were compiled, which is done to what runs. */
  async compiled(): Promise<string[]> {
    const files = await filesOf(join(this.#cache, "gen", "file", PROJECT));
    return files.map((path) => path.replace(/\.js$/, ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
