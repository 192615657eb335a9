import { userInfo } from "node:os";
import { join } from "node:path";
import { provide, run, which } from "./debian.ts";
import { Server } from "./server.ts";
import { ask, find, freePort, type Located } from "./service.ts";

/** Additional options for {@linkcode start}. */
export interface PostgresOptions {
  /** The port; a free one by default. */
  port?: number;
  /** The password of the user `postgres` (SCRAM); without one everybody is trusted. */
  password?: string;
  /** More settings, such as `{ max_connections: "5" }`. */
  settings?: Record<string, string>;
}

/** Finds a PostgreSQL server for this run. */
export function locate(): Promise<Located> {
  return find({ variable: "POSTGRES_URL", start, usual });
}

/** Starts a PostgreSQL server of a test's own, with the database `postgres`. */
export async function start(options: PostgresOptions = {}): Promise<Server> {
  const { port = freePort(), password, settings = {} } = options;
  const initdb = await provide(
    "initdb",
    "postgresql",
    async () => which("initdb", await folders()),
  );
  const directory = await Deno.makeTempDir({ prefix: "postgres-" });
  const user = await serverUser();
  if (user) await Deno.chown(directory, user.uid, user.gid);
  const secret = join(directory, "password");
  await Deno.writeTextFile(secret, password ?? "");
  await run(initdb, [
    ...["-D", join(directory, "data"), "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"],
    ...(password ? ["--auth=scram-sha-256", `--pwfile=${secret}`] : ["--auth=trust"]),
  ], { cwd: directory, ...user });
  // A process that is killed loses nothing without fsync; only a machine would.
  const all = { "fsync": "off", "unix_socket_directories": "", ...settings };
  return await Server.start({
    name: "postgres",
    url: `postgres://postgres${
      password ? `:${encodeURIComponent(password)}` : ""
    }@127.0.0.1:${port}/postgres`,
    port,
    directory,
    command: join(initdb, "..", "postgres"),
    args: [
      ...["-D", join(directory, "data"), "-h", "127.0.0.1", "-p", `${port}`],
      ...Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    user,
    signal: "SIGINT", // SIGTERM would wait for the clients to leave.
    answers: () => answers(port, "postgres", "postgres"),
  });
}

/**
 * Starts a standby of a server, which follows it through a port: that of a proxy, for one.
 * It commits without waiting for any standby.
 */
export async function startStandby(primary: Server, through: number): Promise<Server> {
  const port = freePort();
  const directory = await Deno.makeTempDir({ prefix: "postgres-" });
  const user = await serverUser();
  if (user) await Deno.chown(directory, user.uid, user.gid);
  const data = join(directory, "data");
  const command = join(primary.command, "..", "pg_basebackup");
  await run(command, [
    ...["-D", data, "-d", `host=127.0.0.1 port=${through} user=postgres`],
    ...["-R", "-X", "stream", "--checkpoint=fast", "--no-sync"],
  ], { cwd: directory, ...user });
  return await Server.start({
    name: "postgres standby",
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    port,
    directory,
    command: primary.command,
    args: [
      ...["-D", data, "-h", "127.0.0.1", "-p", `${port}`],
      ...["-c", "fsync=off", "-c", "unix_socket_directories="],
    ],
    user,
    signal: "SIGINT",
    answers: () => answers(port, "postgres", "postgres"),
  });
}

/** The path of a command of PostgreSQL, such as `pg_dump`. */
export function command(name: string): Promise<string> {
  return provide(name, "postgresql", async () => which(name, await folders()));
}

/** Where Debian keeps the server's commands, the newest version first. */
async function folders(): Promise<string[]> {
  const root = "/usr/lib/postgresql";
  try {
    const versions = await Array.fromAsync(Deno.readDir(root), ({ name }) => name);
    return versions.sort((a, b) => Number(b) - Number(a)).map((name) => join(root, name, "bin"));
  } catch {
    return [];
  }
}

/** Whom it runs as: PostgreSQL refuses to do so as root. */
export async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (Deno.uid() !== 0) return undefined;
  const [uid, gid] = await Promise.all(["-u", "-g"].map((flag) => run("id", [flag, "postgres"])));
  return { uid: Number(uid), gid: Number(gid) };
}

async function usual(): Promise<string | undefined> {
  for (const database of ["test", "postgres"]) {
    for (const user of new Set(["postgres", userInfo().username])) {
      if (await answers(5432, user, database, isTrusted)) {
        return `postgres://${user}@127.0.0.1:5432/${database}`;
      }
    }
  }
}

/** Whether a server lets a user in, or asks for a password. */
export function answers(
  port: number,
  user: string,
  database: string,
  isAnswer = (reply: Uint8Array) => isTrusted(reply) || asksForPassword(reply),
): Promise<boolean> {
  const parameters = `user\0${user}\0database\0${database}\0\0`;
  const request = new DataView(new ArrayBuffer(8 + parameters.length));
  request.setInt32(0, request.byteLength);
  request.setInt32(4, 3 << 16); // the version of the protocol
  const bytes = new Uint8Array(request.buffer);
  bytes.set(new TextEncoder().encode(parameters), 8);
  return ask(port, bytes, isAnswer);
}

/** The database is open to this user once the server is ready for a query. */
function isTrusted(reply: Uint8Array): boolean {
  const view = new DataView(reply.buffer);
  for (let at = 0; at + 5 <= reply.length; at += 1 + view.getInt32(at + 1)) {
    if (reply[at] === "Z".charCodeAt(0)) return true;
  }
  return false;
}

/** A server that is still starting refuses before it asks for a password. */
function asksForPassword(reply: Uint8Array): boolean {
  return reply[0] === "R".charCodeAt(0) && reply.length >= 9 && reply[8] !== 0;
}
