/** The snippets of the documents run as printed, with the npm package, on every runtime. */

import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Broadcast } from "@broadcaster/broadcaster";
import { SNIPPETS as ALL } from "../docs/pages.ts";
import { start } from "../services/redis.ts";
import { Server } from "../services/server.ts";
import { ask, freePort } from "../services/service.ts";
import { DENO, Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";
import { PROJECT } from "./tarball.ts";

const TYPED = ALL.filter(({ kind }) => /^ts( ignore)?$/.test(kind));
const SNIPPETS = TYPED.map(({ page, line, text }) => ({
  name: `${page.replace(/\.md$/, "").replaceAll(/\W/g, "_")}_${line}`,
  text,
}));

/** Snippets that serve until they are ended, and those for a test runner. */
const SERVERS = SNIPPETS.filter(({ text }) =>
  /^export default|\.listen\(|new WebSocketServer/m.test(text)
);
const SUITES = SNIPPETS.filter(({ text }) => text.includes("Deno.test"));
/** Those that only the compiler sees: they connect a client to a broker, or wait to be ended. */
const OTHERS = SNIPPETS.filter((snippet) =>
  !SERVERS.includes(snippet) && /await connect(Async)?\(|process\.once/.test(snippet.text)
);
const SCRIPTS = SNIPPETS.filter((snippet) => ![...SERVERS, ...SUITES, ...OTHERS].includes(snippet));

/** How Deno finds what npm has installed. */
const ON_DENO = (command: string) => [
  ...[command, "-A", "--no-prompt", "--no-lock", "--no-check", "--quiet"],
  "--node-modules-dir=manual",
];

const installed = new Installed(["serve.mjs"], { withClients: true });
/** What the compiler says. */
let compiled: string;

Deno.test.beforeAll(async () => {
  const { app } = installed;
  await app.install("typescript", "@types/node", "@types/ws", "ws", "zod");
  for (const { name, text } of SNIPPETS) await app.write(`${name}.ts`, settled(text));
  await app.write("my_backend.ts", await myBackend());
  const compiler = join(app.folder, "node_modules", ".bin", "tsc");
  const flags = ["--strict", "--target", "es2022", "--lib", "es2023", "--types", "node"];
  const modules = ["--module", "nodenext", "--rewriteRelativeImportExtensions"];
  // The declarations of the package `mqtt` need those of browsers.
  flags.push("--skipLibCheck");
  const files = SNIPPETS.map(({ name }) => `${name}.ts`);
  compiled = said(await app.run(compiler, [...flags, ...modules, ...files]));
});

Deno.test("the snippets of the documents have correct types", () => {
  assert(SCRIPTS.length > 20 && SERVERS.length > 3 && SUITES.length > 0 && OTHERS.length > 2);
  assertEquals(compiled, "");
});

// Deno reads the snippets as they are printed, in the same folder.
for (const runtime of [DENO, ...PROVIDED]) {
  const { command } = runtime;

  testOn(runtime, "runs the scripts of the documents", async (path) => {
    for (const { name, text } of SCRIPTS) {
      const args = command === "deno" ? [...ON_DENO("run"), `${name}.ts`] : [`${name}.js`];
      const { code, stderr } = await installed.app.run(path, args);
      assertEquals({ code, stderr }, { code: 0, stderr: "" }, text);
    }
  });

  // Not yet on Deno: with the package from npm, its server answers with an error here.
  if (command === "deno") continue;

  testOn(runtime, "runs the servers of the documents", async (path) => {
    await using redis = await start();
    await using broadcast = new Broadcast(redis.url.replace("redis:", "redis-stream:"));
    for (const { name, text } of SERVERS) {
      const port = freePort();
      const module = join(installed.app.folder, `${name}.js`);
      const serve = join(installed.app.folder, "serve.mjs");
      await using server = await Server.start({
        name,
        url: `http://127.0.0.1:${port}/`,
        port,
        directory: await Deno.makeTempDir({ prefix: "documents-" }),
        signal: "SIGKILL",
        command: "env",
        args: [
          ...["-C", installed.app.folder, `REDIS_PORT=${redis.port}`, `PORT=${port}`, path],
          ...text.includes("export default") && command === "node" ? [serve, module] : [module],
        ],
        answers: () =>
          ask(port, "HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n", ({ length }) => length > 0),
      });
      const say = (message: string) => broadcast.publish("news", message);
      const received = text.includes("WebSocketServer")
        ? await overSocket(port, `for ${name}`)
        : await overEvents(server.url, `for ${name}`, say);
      assertStringIncludes(received, `for ${name}`);
      const signalled = Date.now();
      await server.stop("SIGTERM");
      assert(Date.now() - signalled < 15_000, `${runtime.name} does not end: ${text}`);
    }
  });
}

testOn(PROVIDED[0]!, "runs the suites of the documents", async (path) => {
  for (const { name } of SUITES) {
    const outcome = await installed.app.run(path, ["--test", `${name}.js`]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^[#ℹ] pass [1-9]\d*$/m);
  }
});

/** Publishes what an event stream has to bring: by a POST where the server takes one. */
async function overEvents(
  url: string,
  message: string,
  say: (message: string) => Promise<unknown>,
): Promise<string> {
  const response = await fetch(url);
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  const posted = await fetch(url, {
    method: "POST",
    body: message,
    signal: AbortSignal.timeout(2_000),
  })
    .then(({ status, body }) => body?.cancel().then(() => status) ?? status, () => undefined);
  if (posted !== 204) await say(message);
  let received = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    received += chunk;
    if (received.includes(`data: ${message}\n`)) break;
  }
  return received;
}

/** Sends a message, and resolves with what comes back. */
async function overSocket(port: number, message: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  const received = new Promise<string>((resolve) => {
    socket.onmessage = ({ data }) => resolve(String(data));
  });
  await new Promise((resolve) => socket.onopen = resolve);
  const again = setInterval(() => socket.send(message), 500);
  const text = await received;
  clearInterval(again);
  socket.close();
  await closed;
  return text;
}

/** A snippet with the broker, the port and the test runner of this run. */
function settled(text: string): string {
  const runner = text.includes("Deno.test") ? 'import { test } from "node:test";\n' : "";
  return runner + text
    .replace(/"(redis-stream:\/\/localhost:)6379"/, '"$1" + process.env.REDIS_PORT')
    .replace(".listen(8000)", ".listen(Number(process.env.PORT))")
    .replace("port: 8000", "port: Number(process.env.PORT)")
    .replace("Deno.test", "test");
}

/** The backend of the examples, under the name that the documents give the reader's own. */
async function myBackend(): Promise<string> {
  const example = await Deno.readTextFile(join(PROJECT, "examples", "custom_backend.ts"));
  const [, name] = /^export class (\w+)/m.exec(example)!;
  return example
    .replace(/^import \{ conformance \}.*$/m, "")
    .replace(/^conformance\([^]*$/m, "")
    .replaceAll(name!, "MyBackend");
}
