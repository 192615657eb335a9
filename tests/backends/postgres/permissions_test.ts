/** The narrowest permissions with which Postgres works on Deno, and its Unix sockets. */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { Broadcast } from "../../../mod.ts";
import { messages, uniqueChannel } from "../../conformance/harness.ts";
import { run, said } from "../../runtimes/process.ts";
import { PROJECT } from "../../runtimes/tarball.ts";
import { withBroker } from "../../services/broker.ts";
import { serverUser, start } from "../../services/postgres.ts";

const PROGRAM = `
import { Broadcast } from "@broadcaster/broadcaster";
const broadcast = new Broadcast(Deno.args[0]);
const channel = Deno.args[1];
const subscription = await broadcast.subscribe(channel);
await broadcast.publish(channel, "hello");
for await (const { message } of subscription) { console.log(message); break; }
await broadcast.disconnect();
`;

/** Runs a program that hears itself, with nothing but some permissions. */
async function runWith(permissions: readonly string[], url: string): Promise<string> {
  const folder = await Deno.makeTempDir();
  const file = join(folder, "program.ts");
  await Deno.writeTextFile(file, PROGRAM);
  const map = join(PROJECT, "tests", "import_map.json");
  const outcome = await run(Deno.execPath(), [
    ...["run", "--no-check", "--no-prompt", "--import-map", map, ...permissions],
    ...[file, url, uniqueChannel()],
  ]);
  await Deno.remove(folder, { recursive: true });
  return said(outcome);
}

withBroker("postgres", (url) => {
  const { host } = new URL(url);
  for (const scheme of ["postgres", "postgres-stream"]) {
    const own = url.replace("postgres", scheme);
    Deno.test(`${scheme}: it needs the network of its server, and variables that start with PG`, async () => {
      assertEquals(await runWith([`--allow-net=${host}`, "--allow-env=PG*"], own), "hello");
    });

    Deno.test(`${scheme}: a Unix socket needs its path alone`, async () => {
      const folder = await Deno.makeTempDir({ prefix: "pg-" });
      const user = await serverUser();
      if (user) await Deno.chown(folder, user.uid, user.gid);
      await using server = await start({ settings: { "unix_socket_directories": folder } });
      const path = join(folder, `.s.PGSQL.${server.port}`);
      const local = `${scheme}://postgres@/postgres?host=${folder}&port=${server.port}`;
      await using broadcast = new Broadcast(local);
      const channel = uniqueChannel();
      const subscription = await broadcast.subscribe(channel);
      await broadcast.publish(channel, "over a file");
      assertEquals(await messages(subscription, 1), ["over a file"]);
      const permissions = [
        `--allow-read=${path}`,
        `--allow-write=${path}`,
        `--allow-net=unix:${path}`,
        "--allow-env=PG*",
      ];
      assertEquals(await runWith(permissions, local), "hello");
      await broadcast.disconnect();
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    });
  }

  Deno.test("postgres: a permission that is missing is named", async () => {
    assertStringIncludes(await runWith(["--allow-env=PG*"], url), host);
  });
});
