/** The least that Deno has to permit. */

import { join } from "node:path";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { withBroker } from "../../services/broker.ts";
import { certify } from "../../services/certificate.ts";
import { start } from "../../services/nats.ts";

const ROOT = new URL("../../../", import.meta.url);

/** Publishes and hears; the argument is the URL. */
const SCRIPT = `
import { Broadcast } from ${JSON.stringify(new URL("mod.ts", ROOT))};
const broadcast = new Broadcast(Deno.args[0]);
const subscription = await broadcast.subscribe("x");
await broadcast.publish("x", "hello");
for await (const { message } of subscription) {
  console.log(message);
  break;
}
if (Deno.args[0].startsWith("nats-stream")) console.log((await broadcast.history("x", { limit: 1 })).length);
await broadcast.disconnect();
`;

async function run(url: string, ...permissions: string[]): Promise<string> {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "script.ts");
  await Deno.writeTextFile(file, SCRIPT);
  const config = ["--no-check", "--no-prompt", "--config", new URL("deno.json", ROOT).pathname];
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...config, ...permissions, file, url],
    env: { NO_COLOR: "1" },
  }).output();
  await Deno.remove(folder, { recursive: true });
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

function permissions(scheme: "nats" | "nats-stream"): void {
  const expected = scheme === "nats" ? "hello\n" : "hello\n1\n";

  Deno.test(`${scheme}: a permission for the server as it is written is enough on Deno`, async () => {
    await using server = await start();
    for (const host of ["localhost", "127.0.0.1"]) {
      const url = `${scheme}://${host}:${server.port}`;
      assertEquals(await run(url, `--allow-net=${host}:${server.port}`), expected);
    }
    const output = await run(`${scheme}://localhost:${server.port}`, "--allow-net=127.0.0.1");
    assertStringIncludes(output, "ConnectionError");
  });

  Deno.test(`${scheme}: files that the URL names need a permission to read them`, async () => {
    const folder = await Deno.makeTempDir();
    const { certificate, key } = await certify(folder);
    await using server = await start({
      config: `tls { cert_file: "${certificate}", key_file: "${key}" }`,
    });
    const url = `${scheme}://localhost:${server.port}?ca=${certificate}`;
    const net = `--allow-net=localhost:${server.port}`;
    assertEquals(await run(url, net, `--allow-read=${certificate}`), expected);
    assertStringIncludes(await run(url, net), 'parameter "ca" must be the path of a file');
    await Deno.remove(folder, { recursive: true });
  });
}

withBroker("nats", () => {
  permissions("nats");
  permissions("nats-stream");
});
