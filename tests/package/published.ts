import { join, matchesGlob } from "node:path";
import config from "../../deno.json" with { type: "json" };
import { PROJECT } from "../runtimes/tarball.ts";

/** A file that is published. */
export interface Published {
  /** Where it is in the project, with slashes. */
  path: string;
  text: string;
}

/** What the allow-list of `deno.json` lets through, in order. */
export async function published(): Promise<Published[]> {
  const files = await filesOf(PROJECT);
  const allowed = files.filter((path) => config.publish.include.some((item) => lets(item, path)));
  return await Promise.all(
    allowed.sort().map(async (path) => ({
      path,
      text: await Deno.readTextFile(join(PROJECT, path)),
    })),
  );
}

/** Whether an item of the allow-list, a pattern or a folder, lets a file through. */
export function lets(item: string, path: string): boolean {
  return matchesGlob(path, item) || path.startsWith(`${item}/`);
}

/** The paths of all files in a folder, with slashes, but for what is hidden or installed. */
export async function filesOf(folder: string, inner = ""): Promise<string[]> {
  const files: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(folder, inner))) {
    if (name.startsWith(".") || name === "node_modules") continue;
    const path = inner ? `${inner}/${name}` : name;
    if (isDirectory) files.push(...await filesOf(folder, path));
    else files.push(path);
  }
  return files;
}
