/** The npm package works on every runtime. */

import { assertEquals, assertMatch } from "@std/assert";
import { join } from "node:path";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { LocatedHarnesses } from "../backends/harnesses.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { run, said } from "./process.ts";
import { PROJECT } from "./tarball.ts";

/** Modules that load their library with themselves, by the library. */
const MODULES = { "@msgpack/msgpack": "msgpack", "@opentelemetry/api": "otel" } as const;

/** What needs each client. */
const URLS: Record<Exclude<keyof typeof CLIENTS, keyof typeof MODULES>, string> = {
  ioredis: "redis://localhost",
  postgres: "postgres://localhost",
  kafkajs: "kafka://localhost",
  amqplib: "amqp://localhost",
  mqtt: "mqtt://localhost",
  "@nats-io/transport-node": "nats://localhost",
  "@nats-io/jetstream": "nats-stream://localhost",
};

/** The factories that take a client instead. */
const FACTORIES: typeof URLS = {
  ioredis: "redis({ client })",
  postgres: "postgres({ sql })",
  kafkajs: "kafka({ client })",
  amqplib: "amqp({ client })",
  mqtt: "mqtt({ client })",
  "@nats-io/transport-node": "nats({ client })",
  "@nats-io/jetstream": "natsStream({ client, jetstreamManager })",
};

/** The package alone: the suite needs no broker on memory, and has one elsewhere. */
const bare = new Installed(["codecs.mjs", "connect.mjs", "suite.mjs", "runner.mjs"]);
const { data: HARNESSES } = new LocatedHarnesses(["memory"]);

for (const runtime of PROVIDED) {
  testOn(runtime, "loads every module of the npm package without its clients", async (path) => {
    // But for those that are nothing without their library.
    const modules = (await bare.app.files())
      .filter((file) => /(?<!\/msgpack|\/otel\/mod)\.js$/.test(file));
    const script = modules.map((file) => `await import(${JSON.stringify(`file://${file}`)});\n`);
    await bare.app.write("modules.mjs", script.join(""));
    const outcome = await bare.app.run(path, ["modules.mjs"]);
    assertEquals(outcome, { code: 0, stdout: "", stderr: "" });
  });

  testOn(runtime, "passes the suite of the npm package on memory", async (path) => {
    const outcome = await bare.app.run(path, ["suite.mjs", JSON.stringify(HARNESSES)]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^([1-9]\d*) of \1 passed\n$/);
    assertEquals(outcome.stderr, "");
  });

  testOn(runtime, "bounds what hostile bytes and slow codecs cost", async (path) => {
    const outcome = await bare.app.run(path, ["codecs.mjs"]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^([1-9]\d*) of \1 passed\n$/);
    assertEquals(outcome.stderr, "");
  });

  testOn(runtime, "tells which client is to be installed", async (path) => {
    const install = runtime.command === "bun" ? "bun add" : "npm install";
    const { stdout } = await bare.app.run(path, ["connect.mjs", ...Object.values(URLS)]);
    const expected = Object.keys(URLS).map((name) => {
      const client = `${name}@${CLIENTS[name as keyof typeof CLIENTS]}`;
      return `Error: Cannot load client "${name}": it is not installed, run \`${install} ${client}\`. ` +
        "In a bundle, pass a factory with your own client: " +
        `new Broadcast(${FACTORIES[name as keyof typeof URLS]})\n`;
    });
    assertEquals(stdout, expected.join(""));
    for (const [name, module] of Object.entries(MODULES)) {
      const load =
        `import("@broadcaster/broadcaster/${module}").catch((error) => console.log(String(error)));`;
      await bare.app.write("module.mjs", load);
      const outcome = await bare.app.run(path, ["module.mjs"]);
      const library = `${name}@${CLIENTS[name as keyof typeof MODULES]}`;
      assertEquals(
        outcome.stdout,
        `Error: Cannot load client "${name}": it is not installed, run \`${install} ${library}\`\n`,
      );
    }
  });
}

Deno.test("Deno bounds what hostile bytes and slow codecs cost", async () => {
  const map = join(PROJECT, "tests", "import_map.json");
  const program = join(import.meta.dirname!, "codecs.mjs");
  const outcome = await run(Deno.execPath(), ["run", "-A", "--import-map", map, program]);
  assertEquals(outcome.code, 0, said(outcome));
  assertMatch(outcome.stdout, /^([1-9]\d*) of \1 passed\n$/);
});

testOn(PROVIDED[0]!, "runs the suite with node:test as well", async (path) => {
  const outcome = await bare.app.run(path, ["--test", "runner.mjs"]);
  assertEquals(outcome.code, 0, said(outcome));
  assertMatch(outcome.stdout, /^[#ℹ] pass [1-9]\d+$/m);
});
