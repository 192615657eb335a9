import { delimiter, join } from "node:path";

/** Runs a command to its end; throws with what it said if it fails. */
export async function run(command: string, args: string[], options?: Deno.CommandOptions) {
  const { success, stderr, stdout } = await new Deno.Command(command, {
    ...options,
    args,
    stdin: "null",
  }).output();
  if (success) return new TextDecoder().decode(stdout).trim();
  const said = new TextDecoder().decode(stderr).trim() || new TextDecoder().decode(stdout).trim();
  throw new Error(`Cannot run ${command}: ${said.split("\n").slice(-3).join(" ")}`);
}

/** The path of a command, or `undefined` if it is not installed. */
export async function which(command: string, folders: string[] = []): Promise<string | undefined> {
  for (const folder of [...folders, ...Deno.env.get("PATH")?.split(delimiter) ?? []]) {
    const path = join(folder, command);
    const file = await Deno.stat(path).catch(() => undefined);
    if (file?.isFile) return path;
  }
}

/** The path of a command, whose Debian package is installed if it is missing. */
export async function provide(
  name: string,
  packageName: string,
  locate: () => Promise<string | undefined> = () => which(name),
): Promise<string> {
  const path = await locate();
  if (path) return path;
  if (Deno.build.os === "linux" && Deno.uid() === 0 && await which("apt-get")) {
    await install(packageName);
    const installed = await locate();
    if (installed) return installed;
  }
  throw new Error(`${name} is not installed: "apt-get install ${packageName}" as root`);
}

let last: Promise<unknown> = Promise.resolve();

/** Installs a Debian package, one at a time, since apt locks. */
function install(name: string): Promise<void> {
  const turn = last.then(() => aptInstall(name));
  last = turn.catch(() => {});
  return turn;
}

async function aptInstall(name: string): Promise<void> {
  const args = ["install", "-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"];
  // Runlevel 1 keeps a package from starting its service, which would outlive the run.
  const env = { DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  try {
    await run("apt-get", [...args, name], { env });
  } catch {
    // The lists are missing on a fresh machine, and old on another.
    await run("apt-get", ["update", "-qq"], { env });
    await run("apt-get", [...args, name], { env });
  }
}
