/** The terminal command of the npm package, as npm links it, on every runtime and broker. */

import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { SCHEMES, withScheme } from "../cli/brokers.ts";
import { broadcaster, Running } from "../cli/command.ts";
import { uniqueChannel } from "../conformance/harness.ts";
import { Installed, PROVIDED, testOn } from "./apps.ts";

const bare = new Installed([]);
const complete = new Installed([], { withClients: true });

/** The command as npm links it, run by a runtime. */
function command(path: string, installed: Installed): readonly string[] {
  return [path, join(installed.app.folder, "node_modules", ".bin", "broadcaster")];
}

for (const runtime of PROVIDED) {
  testOn(runtime, "shows the help and the version of the command", async (path) => {
    const program = command(path, bare);
    const version = await broadcaster(["--version"], { program });
    assertEquals(version, { code: 0, stdout: `${config.version}\n`, stderr: "" });
    const help = await broadcaster(["--help"], { program });
    assertEquals([help.code, help.stderr], [0, ""]);
    assertStringIncludes(help.stdout, "Usage: broadcaster COMMAND");
    const wrong = await broadcaster(["sub", "memory://"], { program });
    assertEquals([wrong.code, wrong.stdout], [2, ""]);
  });

  testOn(runtime, "tells how to run the command together with a client", async (path) => {
    const program = command(path, bare);
    for (
      const [url, packages] of [
        ["redis://localhost", ["ioredis@6"]],
        ["nats-stream://localhost", ["@nats-io/jetstream@3", "@nats-io/transport-node@3"]],
      ] as const
    ) {
      const { code, stdout, stderr } = await broadcaster(["sub", url, "a"], { program });
      assertEquals([code, stdout], [1, ""]);
      const flags = packages.map((name) => `-p ${name}`).join(" ");
      assertStringIncludes(
        stderr,
        `\n  npx -p @broadcaster/broadcaster ${flags} broadcaster sub ...\n`,
      );
    }
  });

  testOn(runtime, "publishes, subscribes, reads and checks on every broker", async (path) => {
    const program = command(path, complete);
    for (const { name, broker, hasLog } of SCHEMES) {
      const found = Deno.env.get(`${broker.toUpperCase()}_URL`);
      if (!found) continue;
      const url = withScheme(found, name);
      const channel = uniqueChannel();
      await using sub = new Running(["sub", url, channel, "--count", "2", "-v"], { program });
      await sub.said("stderr", "subscribed to");
      const pub = await broadcaster(["pub", url, channel], { program, input: "one\ntwo\n" });
      assertEquals(pub, { code: 0, stdout: "", stderr: "" }, name);
      const { code, stdout } = await sub.ended();
      assertEquals([name, code, stdout], [name, 0, "one\ntwo\n"]);
      if (hasLog) {
        const past = await broadcaster(["history", url, channel], { program });
        assertEquals([name, past.stdout], [name, "one\ntwo\n"]);
      }
      const check = await broadcaster(["check", url], { program });
      assertEquals(check.code, 0, check.stdout + check.stderr);
      assertMatch(check.stdout, /\nserver: /);
    }
  });

  testOn(runtime, "ends the command by its signal, and quietly in a pipe", async (path) => {
    const program = command(path, complete);
    await using sub = new Running(["sub", "memory://", "a", "-v"], { program });
    await sub.said("stderr", "subscribed to");
    sub.kill("SIGINT");
    const { code, signal, stderr } = await sub.ended();
    assertEquals([code, signal, stderr], [130, "SIGINT", 'subscribed to "a"\n']);
    const help = `'${program.join("' '")}' help | true`;
    const args = ["-o", "pipefail", "-c", help];
    const piped = await new Deno.Command("bash", { args }).output();
    assertEquals([piped.code, new TextDecoder().decode(piped.stderr)], [0, ""]);
  });
}
