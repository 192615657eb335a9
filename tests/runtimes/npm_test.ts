/** The npm package works on every runtime. */

import { assertEquals, assertMatch } from "@std/assert";
import { CLIENTS } from "../../core/backend/kit/client_library.ts";
import { LocatedHarnesses } from "../backends/harnesses.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";

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
const bare = new Installed(["connect.mjs", "suite.mjs", "runner.mjs"]);
const { data: HARNESSES } = new LocatedHarnesses(["memory"]);

for (const runtime of PROVIDED) {
  testOn(runtime, "loads every module of the npm package without its clients", async (path) => {
    // But for the one that is its library's codec.
    const modules = (await bare.app.files()).filter((file) => /(?<!\/msgpack)\.js$/.test(file));
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

  testOn(runtime, "tells which client is to be installed", async (path) => {
    const { stdout } = await bare.app.run(path, ["connect.mjs", ...Object.values(URLS)]);
    const expected = Object.keys(URLS).map((name) => {
      const client = `${name}@${CLIENTS[name as keyof typeof CLIENTS]}`;
      return `Error: Cannot load client "${name}": it is not installed, run \`npm install ${client}\`, ` +
        `or pass the client that you have: ${FACTORIES[name as keyof typeof URLS]}\n`;
    });
    assertEquals(stdout, expected.join(""));
    const load =
      'import("@broadcaster/broadcaster/msgpack").catch((error) => console.log(`${error}`));';
    await bare.app.write("codec.mjs", load);
    const codec = await bare.app.run(path, ["codec.mjs"]);
    const name = `@msgpack/msgpack@${CLIENTS["@msgpack/msgpack"]}`;
    assertEquals(
      codec.stdout,
      `Error: Cannot load client "@msgpack/msgpack": it is not installed, run \`npm install ${name}\`\n`,
    );
  });
}

testOn(PROVIDED[0]!, "runs the suite with node:test as well", async (path) => {
  const outcome = await bare.app.run(path, ["--test", "runner.mjs"]);
  assertEquals(outcome.code, 0, said(outcome));
  assertMatch(outcome.stdout, /^[#ℹ] pass [1-9]\d+$/m);
});
