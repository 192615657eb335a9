import { join } from "node:path";
import { provide, which } from "./debian.ts";
import { answers, serverUser } from "./postgres.ts";
import { Server } from "./server.ts";
import { freePort, type Located } from "./service.ts";

/** Finds a Pgpool-II for this run; its `url` is its path. */
export async function locate(): Promise<Located> {
  try {
    return { url: await path(), stop: () => Promise.resolve() };
  } catch (error) {
    return { skip: `${(error as Error).message}, or set PGPOOL_URL to its path` };
  }
}

/**
 * Starts a Pgpool-II of a test's own.
 *
 * @param server The port of the server.
 * @param standby The port of its standby, if any. It gets all statements that only read.
 */
export async function start(server: number, standby?: number): Promise<Server> {
  const command = await path();
  const [port, control] = [freePort(), freePort()];
  const directory = await Deno.makeTempDir({ prefix: "pgpool-" });
  const user = await serverUser();
  if (user) await Deno.chown(directory, user.uid, user.gid);
  await Deno.writeTextFile(join(directory, "pcp.conf"), "");
  await Deno.writeTextFile(
    join(directory, "pgpool.conf"),
    [
      "backend_clustering_mode = 'streaming_replication'",
      ...["listen_addresses = '127.0.0.1'", `port = ${port}`],
      ...["pcp_listen_addresses = '127.0.0.1'", `pcp_port = ${control}`],
      ...["unix_socket_directories", "pcp_socket_dir", "logdir", "work_dir"]
        .map((name) => `${name} = '${directory}'`),
      `pid_file_name = '${join(directory, "pgpool.pid")}'`,
      ...["backend_hostname0 = '127.0.0.1'", `backend_port0 = ${server}`],
      ...(standby === undefined ? [] : [
        "backend_weight0 = 0",
        ...["backend_hostname1 = '127.0.0.1'", `backend_port1 = ${standby}`],
        "backend_weight1 = 1",
      ]),
      ...["enable_pool_hba = off", "pool_passwd = ''", "sr_check_user = 'postgres'"],
      ...["num_init_children = 16", ""],
    ].join("\n"),
  );
  return await Server.start({
    name: "pgpool",
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    directory,
    command,
    args: ["-n", "-f", "pgpool.conf", "-F", "pcp.conf"],
    user,
    signal: "SIGINT",
    answers: () => answers(port, "postgres", "postgres"),
  });
}

async function path(): Promise<string> {
  return Deno.env.get("PGPOOL_URL") ??
    await provide("pgpool", "pgpool2", () => which("pgpool", ["/usr/sbin"]));
}
