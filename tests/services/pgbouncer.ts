import { join } from "node:path";
import { provide, which } from "./debian.ts";
import { answers, serverUser } from "./postgres.ts";
import { Server } from "./server.ts";
import { freePort, type Located } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface PgBouncerOptions {
  /** The port of the server. */
  server: number;
  /** When a session goes to another client: at the end of it, of a transaction, or of a statement. */
  mode: "session" | "transaction" | "statement";
  /** How many sessions it has for each user and database. */
  size?: number;
  /** How long a client waits for a session, in seconds. */
  wait?: number;
}

/** Finds a PgBouncer for this run; its `url` is its path. */
export async function locate(): Promise<Located> {
  try {
    return { url: await path(), stop: () => Promise.resolve() };
  } catch (error) {
    return { skip: `${(error as Error).message}, or set PGBOUNCER_URL to its path` };
  }
}

/** Starts a PgBouncer of a test's own, which takes everybody for the user `postgres`. */
export async function start(
  { server, mode, size = 3, wait = 120 }: PgBouncerOptions,
): Promise<Server> {
  const command = await path();
  const port = freePort();
  const directory = await Deno.makeTempDir({ prefix: "pgbouncer-" });
  // It refuses to run as root.
  const user = await serverUser();
  if (user) await Deno.chown(directory, user.uid, user.gid);
  await Deno.writeTextFile(
    join(directory, "pgbouncer.ini"),
    [
      ...["[databases]", `* = host=127.0.0.1 port=${server} user=postgres`],
      ...["[pgbouncer]", "listen_addr = 127.0.0.1", `listen_port = ${port}`, "unix_socket_dir ="],
      ...["auth_type = any", `pool_mode = ${mode}`, `default_pool_size = ${size}`],
      ...[`query_wait_timeout = ${wait}`, ""],
    ].join("\n"),
  );
  return await Server.start({
    name: "pgbouncer",
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    directory,
    command,
    args: ["pgbouncer.ini"],
    user,
    signal: "SIGINT",
    answers: () => answers(port, "postgres", "postgres"),
  });
}

async function path(): Promise<string> {
  return Deno.env.get("PGBOUNCER_URL") ??
    await provide("pgbouncer", "pgbouncer", () => which("pgbouncer", ["/usr/sbin"]));
}
