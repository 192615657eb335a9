import { join } from "node:path";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { CLIENTS } from "../client.ts";
import config from "../deno.json" with { type: "json" };
import type { App } from "./node/app.ts";
import { harnesses } from "./node/harnesses.ts";
import { said } from "./node/process.ts";
import { provide, type Provided, RUNTIMES } from "./node/runtime.ts";
import { removeStream } from "./services/nats.ts";
import { PROJECT, Tarball } from "./node/tarball.ts";

const HERE = join(import.meta.dirname!, "node");
const HARNESSES = harnesses();
/** What needs each client. */
const URLS: Record<Exclude<keyof typeof CLIENTS, "@msgpack/msgpack">, string> = {
  ioredis: "redis://localhost",
  postgres: "postgres://localhost",
  kafkajs: "kafka://localhost",
  amqplib: "amqp://localhost",
  mqtt: "mqtt://localhost",
  "@nats-io/transport-node": "nats://localhost",
  "@nats-io/jetstream": "nats-stream://localhost",
};

let tarball: Tarball;
/** Has the package, and the clients in the versions that `client.ts` names. */
let app: App;
/** Has the package alone. */
let bare: App;

Deno.test.beforeAll(async () => {
  tarball = await Tarball.pack();
  const clients = Object.entries(CLIENTS).map(([name, version]) => `${name}@${version}`);
  [app, bare] = await Promise.all([tarball.install(...clients), tarball.install()]);
  await Promise.all([
    app.add(join(HERE, "suite.mjs")),
    app.add(join(HERE, "runner.mjs")),
    bare.add(join(HERE, "connect.mjs")),
  ]);
});

Deno.test.afterAll(async () => {
  const nats = Deno.env.get("NATS_URL");
  if (nats) await removeStream(nats, "broadcaster-test");
  for (const created of [app, bare, tarball]) await created?.[Symbol.asyncDispose]();
});

Deno.test("the npm package depends on nothing, and has types for each export", async () => {
  const manifest = JSON.parse(await Deno.readTextFile(bare.installed("package.json")));
  const { name, version, type, exports } = manifest;
  assertEquals([name, version, type], [config.name, config.version, "module"]);
  const fields = ["dependencies", "optionalDependencies", "peerDependencies", "scripts", "bin"];
  assertEquals(fields.filter((field) => field in manifest), []);
  const expected = Object.entries(config.exports).map(([subpath, target]) => {
    const file = target.replace(/\.ts$/, "");
    return [subpath, { types: `${file}.d.ts`, import: `${file}.js`, default: `${file}.js` }];
  });
  assertEquals(exports, Object.fromEntries(expected));
  const files = new Set(await bare.files());
  const targets = expected.flatMap(([, targets]) => Object.values(targets!));
  assertEquals(targets.filter((target) => !files.has(bare.installed(target))), []);
});

Deno.test("the npm package names no folder of the machine that packed it", async () => {
  for (const path of await bare.files()) {
    assert(!(await Deno.readTextFile(path)).includes(PROJECT), path);
  }
});

const runtimes = await Promise.all(RUNTIMES.map(provide));

for (const runtime of runtimes) {
  test(runtime, "loads every module of the npm package without its clients", async (path) => {
    // But for the one that is its library's codec.
    const modules = (await bare.files()).filter((file) => /(?<!\/msgpack)\.js$/.test(file));
    const script = modules.map((file) => `await import(${JSON.stringify(`file://${file}`)});\n`);
    await bare.write("modules.mjs", script.join(""));
    const outcome = await bare.run(path, ["modules.mjs"]);
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
  });

  test(runtime, "tells which client is to be installed", async (path) => {
    const { stdout } = await bare.run(path, ["connect.mjs", ...Object.values(URLS)]);
    const expected = Object.keys(URLS).map((name) => {
      const client = `${name}@${CLIENTS[name as keyof typeof CLIENTS]}`;
      return `Error: Cannot load client "${name}": it is not installed, run \`npm install ${client}\`, ` +
        "or pass the client you have: new Broadcast(url, { client })\n";
    });
    assertEquals(stdout, expected.join(""));
    const load =
      'import("@broadcaster/broadcaster/msgpack").catch((error) => console.log(`${error}`));';
    await bare.write("codec.mjs", load);
    const codec = await bare.run(path, ["codec.mjs"]);
    const name = `@msgpack/msgpack@${CLIENTS["@msgpack/msgpack"]}`;
    assertEquals(
      codec.stdout,
      `Error: Cannot load client "@msgpack/msgpack": it is not installed, run \`npm install ${name}\`\n`,
    );
  });

  const names = HARNESSES.map(({ name }) => name).join(", ");
  test(runtime, `passes the suite of the npm package on ${names}`, async (path) => {
    const outcome = await app.run(path, ["suite.mjs", JSON.stringify(HARNESSES)]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^([1-9]\d*) of \1 passed\n$/);
    assertEquals(outcome.stderr, "");
  });
}

test(runtimes[0]!, "runs the suite with node:test as well", async (path) => {
  const outcome = await app.run(path, ["--test", "runner.mjs"]);
  assertEquals(outcome.code, 0, said(outcome));
  assertMatch(outcome.stdout, /^[#ℹ] pass [1-9]\d+$/m);
});

/** A test that needs another runtime. */
function test(runtime: Provided, name: string, body: (path: string) => Promise<void>): void {
  const skip = "skip" in runtime ? runtime.skip : undefined;
  const reason = skip?.replaceAll(/\s+/g, " ").slice(0, 160);
  Deno.test({
    name: `${runtime.name} ${name}${reason ? ` (${reason})` : ""}`,
    ignore: skip !== undefined && !Deno.env.get("REQUIRE_BROKERS"),
    fn: () => "path" in runtime ? body(runtime.path) : Promise.reject(new Error(skip)),
  });
}
