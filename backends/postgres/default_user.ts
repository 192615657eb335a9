/**
 * The user of a URL that names none: by the rules of libpq, the name of the process's user in the
 * operating system.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import { userInfo } from "node:os";
import process from "node:process";
import type { Address } from "../../core/backend/address.ts";
import { reasonOf } from "../../core/backend/errors.ts";

/** What Bun says if `$USER` is not set. */
const UNKNOWN = "unknown";

/**
 * The user of a URL that names none.
 *
 * @throws {TypeError} If the operating system has no name for the user of the process.
 */
export async function defaultUser(address: Address): Promise<string> {
  const given = named("PGUSERNAME") ?? named("PGUSER");
  if (given !== undefined) return given;
  let reason = "the operating system has no name for the user of this process";
  try {
    // On Bun, the name is `$USER`, which is not set in many containers.
    const listed = "Bun" in globalThis ? await listedUser(process.geteuid?.()) : undefined;
    const user = listed ?? userInfo().username;
    if (user !== UNKNOWN) return user;
  } catch (error) {
    // On Deno, the permission may be missing.
    if (/--allow/.test(reasonOf(error))) {
      reason = `the user of this process cannot be read (${reasonOf(error)})`;
    }
  }
  const user = named("USERNAME") ?? named("USER") ?? named("LOGNAME");
  if (user !== undefined) return user;
  throw new TypeError(
    `Cannot open "${address}": it names no user, and ${reason}; write it before the host: postgres://user:password@host/database`,
  );
}

/** The value of a variable, if the process may read it. */
function named(name: string): string | undefined {
  try {
    return process.env[name] || undefined;
  } catch {
    return undefined;
  }
}

/** The name of a user in the list of the system. On macOS, it has only the system's own users. */
async function listedUser(id: number | undefined): Promise<string | undefined> {
  const text = await readFile("/etc/passwd", "utf8").catch(() => "");
  const users = text.split("\n").map((line) => line.split(":"));
  return users.find(([, , listed]) => listed === `${id}`)?.[0];
}
