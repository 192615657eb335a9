import { dirname, join } from "node:path";
import { App } from "./app.ts";
import { run, succeed } from "./process.ts";
import { PROJECT } from "./tarball.ts";

const OS = Deno.build.os === "windows" ? "win" : Deno.build.os;
const IS_ARM = Deno.build.arch === "aarch64";

/** Another runtime than Deno, of one major version. */
export interface Runtime {
  name: string;
  /** Its name on the machine, if it has it. */
  command: string;
  version: string;
  /** Whence it comes otherwise. */
  package: string;
}

/** The runtimes that the package has to work on. */
export const RUNTIMES: Runtime[] = [
  ...["20", "22", "24", "26"].map((version) => ({
    name: `Node ${version}`,
    command: "node",
    version,
    package: `node-${OS}-${IS_ARM ? "arm64" : "x64"}`,
  })),
  {
    name: "Bun",
    command: "bun",
    version: "1",
    package: `@oven/bun-${OS}-${IS_ARM ? "aarch64" : "x64"}`,
  },
];

/** A runtime that can be run, or why it cannot. */
export type Provided = Runtime & ({ path: string } | { skip: string });

/** Finds a runtime on the machine, or in the cache, or fetches it from npm. */
export async function provide(runtime: Runtime): Promise<Provided> {
  const { command, version } = runtime;
  if (await has(command, version)) return { ...runtime, path: command };
  const folder = join(PROJECT, ".cache", `${command}-${version}`);
  const path = join(folder, "bin", command);
  try {
    if (!await has(path, version)) await fetchTo(folder, runtime);
    await succeed(path, ["--version"]);
    return { ...runtime, path };
  } catch (error) {
    return { ...runtime, skip: error instanceof Error ? error.message : String(error) };
  }
}

async function has(path: string, version: string): Promise<boolean> {
  const { stdout } = await run(path, ["--version"]).catch(() => ({ stdout: "" }));
  return stdout.replace(/^v/, "").startsWith(`${version}.`);
}

/** Runs that overlap each fetch into a folder of their own; the first one names it. */
async function fetchTo(folder: string, runtime: Runtime): Promise<void> {
  await Deno.mkdir(dirname(folder), { recursive: true });
  await using app = await App.create();
  await app.install("--ignore-scripts", `${runtime.package}@${runtime.version}`);
  const partial = await Deno.makeTempDir({ dir: dirname(folder) });
  const source = join(app.folder, "node_modules", runtime.package, "bin", runtime.command);
  try {
    await Deno.mkdir(join(partial, "bin"));
    await Deno.copyFile(source, join(partial, "bin", runtime.command));
    await Deno.rename(partial, folder);
  } catch (error) {
    await Deno.remove(partial, { recursive: true });
    if (!await has(join(folder, "bin", runtime.command), runtime.version)) throw error;
  }
}
