/** The user of a Postgres URL that names none is that of the operating system, on every runtime. */

import { assertEquals } from "@std/assert";
import { userInfo } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { withBroker } from "../services/broker.ts";
import { start } from "../services/postgres.ts";
import type { Server } from "../services/server.ts";
import { DENO, Installed, PROVIDED, testOn } from "./apps.ts";
import { succeed } from "./process.ts";
import { PROJECT } from "./tarball.ts";

const PROGRAM = "postgres_user.mjs";
const VARIABLES = ["PGUSER", "PGUSERNAME", "USER", "USERNAME", "LOGNAME"];
/** A user of which the operating system knows no name. */
const NAMELESS = "54321";

withBroker("postgres", () => {
  const installed = new Installed([PROGRAM], { packages: ["postgres@3"] });
  const { username } = userInfo();
  let server: Server;
  let url: string;

  Deno.test.beforeAll(async () => {
    server = await start();
    const sql = postgres(server.url, { onnotice: () => {} });
    if (username !== "postgres") await sql`create role ${sql(username)} login`;
    await sql`create role other login`;
    await sql.end();
    url = `postgres://127.0.0.1:${server.port}/postgres`;
  });
  Deno.test.afterAll(() => server[Symbol.asyncDispose]());

  /** Runs a program with no more of these variables than are given. */
  async function userOf(command: readonly string[], ...given: string[]): Promise<string> {
    const without = VARIABLES.flatMap((name) => ["-u", name]);
    return (await succeed("env", [...without, ...given, ...command])).stdout;
  }

  for (const runtime of [DENO, ...PROVIDED]) {
    testOn(runtime, "names a Postgres user as libpq does", async (path) => {
      const map = join(PROJECT, "tests", "import_map.json");
      const command = runtime === DENO
        ? [path, "run", "-A", "--no-check", "--import-map", map]
        : [path];
      const folder = runtime === DENO ? import.meta.dirname! : installed.app.folder;
      const run = [...command, join(folder, PROGRAM), url];
      assertEquals(await userOf(run), username);
      assertEquals(await userOf(run, "USER=other"), username);
      assertEquals(await userOf(run, "PGUSER=other"), "other");
    });
  }

  for (const runtime of PROVIDED) {
    if (Deno.uid() !== 0) continue;
    testOn(runtime, "asks for the name of a Postgres user where there is none", async (path) => {
      const { folder } = installed.app;
      await Deno.chmod(folder, 0o755);
      const command = join(folder, runtime.command);
      // Another user may not reach the cache of this project.
      if (path !== runtime.command) await Deno.copyFile(path, command);
      const program = path === runtime.command ? path : command;
      const run = ["setpriv", "--reuid", NAMELESS, "--clear-groups", program];
      assertEquals(
        await userOf([...run, join(folder, PROGRAM), url]),
        `TypeError: Cannot open "${url}": it names no user, and the operating system has no name for the user of this process; write it before the host: postgres://user:password@host/database`,
      );
      assertEquals(await userOf([...run, join(folder, PROGRAM), url], "USER=other"), "other");
    });
  }
});
