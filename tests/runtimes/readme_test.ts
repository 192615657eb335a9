/** The snippets of the README run as printed, with the npm package, on every runtime. */

import { join } from "node:path";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Broadcast } from "@broadcaster/broadcaster";
import { start } from "../services/redis.ts";
import { Server } from "../services/server.ts";
import { ask, freePort } from "../services/service.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";
import { said } from "./process.ts";
import { PROJECT } from "./tarball.ts";

const README = await Deno.readTextFile(join(PROJECT, "README.md"));
const SNIPPETS = [...README.matchAll(/^```ts(?: ignore)?\n([^]*?)^```$/gm)]
  .map(([, text], index) => ({ name: `snippet_${index + 1}`, text: text! }));

/** Snippets that serve until they are ended, and those for a test runner. */
const SERVERS = SNIPPETS.filter(({ text }) => /^export default|\.listen\(/m.test(text));
const SUITES = SNIPPETS.filter(({ text }) => text.includes("Deno.test"));
const SCRIPTS = SNIPPETS.filter((snippet) => ![...SERVERS, ...SUITES].includes(snippet));

const installed = new Installed(["serve.mjs"], { withClients: true });
/** What the compiler says. */
let compiled: string;

Deno.test.beforeAll(async () => {
  const { app } = installed;
  await app.install("typescript", "@types/node", "zod");
  for (const { name, text } of SNIPPETS) await app.write(`${name}.ts`, settled(text));
  await app.write("my_backend.ts", await myBackend());
  const compiler = join(app.folder, "node_modules", ".bin", "tsc");
  const flags = ["--strict", "--target", "es2022", "--lib", "es2023", "--types", "node"];
  const modules = ["--module", "nodenext", "--rewriteRelativeImportExtensions"];
  const files = SNIPPETS.map(({ name }) => `${name}.ts`);
  compiled = said(await app.run(compiler, [...flags, ...modules, ...files]));
});

Deno.test("the snippets of the README have correct types", () => {
  assertEquals(SNIPPETS.length, README.match(/^```ts/gm)?.length);
  assert(SCRIPTS.length > 5 && SERVERS.length > 1 && SUITES.length > 0);
  assertEquals(compiled, "");
});

for (const runtime of PROVIDED) {
  testOn(runtime, "runs the scripts of the README", async (path) => {
    for (const { name, text } of SCRIPTS) {
      const { code, stderr } = await installed.app.run(path, [`${name}.js`]);
      assertEquals({ code, stderr }, { code: 0, stderr: "" }, text);
    }
  });

  testOn(runtime, "runs the servers of the README", async (path) => {
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
        directory: await Deno.makeTempDir({ prefix: "readme-" }),
        signal: "SIGKILL",
        command: "env",
        args: [
          ...[`REDIS_PORT=${redis.port}`, `PORT=${port}`, path],
          ...text.includes("export default") ? [serve, module] : [module],
        ],
        answers: () =>
          ask(port, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", ({ length }) => length > 0),
      });
      const response = await fetch(server.url);
      await broadcast.publish("news", `for ${name}`);
      let received = "";
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
        received += chunk;
        if (received.includes(`data: for ${name}\n`)) break;
      }
      assertStringIncludes(received, `data: for ${name}\n`);
    }
  });
}

testOn(PROVIDED[0]!, "runs the suites of the README", async (path) => {
  for (const { name } of SUITES) {
    const outcome = await installed.app.run(path, ["--test", `${name}.js`]);
    assertEquals(outcome.code, 0, said(outcome));
    assertMatch(outcome.stdout, /^[#ℹ] pass [1-9]\d*$/m);
  }
});

/** A snippet with the broker, the port and the test runner of this run. */
function settled(text: string): string {
  const runner = text.includes("Deno.test") ? 'import { test } from "node:test";\n' : "";
  return runner + text
    .replace(/"(redis-stream:\/\/localhost:)6379"/, '"$1" + process.env.REDIS_PORT')
    .replace(".listen(8000)", ".listen(Number(process.env.PORT))")
    .replace("Deno.test", "test");
}

/** The backend of the examples, under the name that the README gives the reader's own. */
async function myBackend(): Promise<string> {
  const example = await Deno.readTextFile(join(PROJECT, "examples", "custom_backend.ts"));
  const [, name] = /^export class (\w+)/m.exec(example)!;
  return example
    .replace(/^import \{ conformance \}.*$/m, "")
    .replace(/^conformance\([^]*$/m, "")
    .replaceAll(name!, "MyBackend");
}
