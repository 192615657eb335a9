/** `DEBUG=broadcaster` and `NODE_DEBUG=broadcaster`: what happens, on standard error, without secrets. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { run } from "../../runtimes/process.ts";
import { PROJECT } from "../../runtimes/tarball.ts";

const SCRIPT = `
import { Broadcast } from ${JSON.stringify(pathToFileURL(join(PROJECT, "mod.ts")))};

const broadcast = new Broadcast("memory://");
const subscription = await broadcast.subscribe("100%s", { after: "of no channel" });
await broadcast.publish("100%s", "a secret");
for await (const _ of subscription) break;
await broadcast.publish("100%s", "\\ud800").catch(() => {});
await broadcast.disconnect();
console.log("done");
`;

const EXPECTED = [
  /^connected$/,
  /^gap "100%s" {"cause":"unknown"}$/,
  /^subscribe "100%s" \(\d+\.\d ms\)$/,
  /^publish "100%s" \S+ \(\d+\.\d ms\)$/,
  /^publish "100%s" failed, Cannot .* \(\d+\.\d ms\)$/,
  /^closed$/,
];

for (const env of [{ NODE_DEBUG: "http,broadcaster" }, { DEBUG: "broadcaster" }, { DEBUG: "*" }]) {
  Deno.test(`${JSON.stringify(env)} writes a line for all that happens`, async () => {
    const { code, stdout, stderr } = await script(env, "--allow-env");
    assertEquals([code, stdout], [0, "done\n"], stderr);
    const lines = stderr.trimEnd().split("\n").map((line) => {
      const [, text] = line.match(/^BROADCASTER \d+: (.*)$/) ?? [];
      assert(text !== undefined, line);
      return text;
    });
    for (const [index, line] of lines.entries()) assertMatch(line, EXPECTED[index]!);
    assertEquals(lines.length, EXPECTED.length, stderr);
    assert(!stderr.includes("secret"), stderr);
  });
}

Deno.test("another name in DEBUG writes nothing", async () => {
  const outcome = await script({ DEBUG: "broadcasters,express:*", NODE_DEBUG: "net" }, "-A");
  assertEquals(outcome, { code: 0, stdout: "done\n", stderr: "" });
});

Deno.test("without the permission to read the environment, nothing is asked or written", async () => {
  const outcome = await script({ DEBUG: "broadcaster", NODE_DEBUG: "broadcaster" }, "--no-prompt");
  assertEquals(outcome, { code: 0, stdout: "done\n", stderr: "" });
});

async function script(env: Record<string, string>, ...flags: string[]) {
  const folder = await Deno.makeTempDir({ prefix: "debug-" });
  try {
    await Deno.writeTextFile(join(folder, "main.ts"), SCRIPT);
    const args = ["run", "--quiet", "--no-check", ...flags, "main.ts"];
    return await run(Deno.execPath(), args, { cwd: folder, env });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
