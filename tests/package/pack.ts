/**
 * Packs the package for npm: `deno task pack [--output file] [--allow-dirty]`.
 *
 * `deno pack` turns the modules into JavaScript and declarations. Here the scripts become fewer files.
 * Added are the fields of `package.json` that it does not write, the module docs that it drops from
 * declarations, the line by which a shell runs the terminal command, and absolute links in the README.
 */

import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { succeed } from "../runtimes/process.ts";
import { PROJECT } from "../runtimes/tarball.ts";
import { bundle } from "./bundle.ts";
import { BIN, complete, REPOSITORY } from "./manifest.ts";
import { filesOf } from "./published.ts";

const { values } = parseArgs({
  options: { output: { type: "string" }, "allow-dirty": { type: "boolean", default: false } },
});
const scratch = await Deno.makeTempDir({ prefix: "pack-" });
try {
  const folder = await draft(values["allow-dirty"]);
  await rewrite(join(folder, "package.json"), (text) => {
    return `${JSON.stringify(complete(JSON.parse(text)), null, 2)}\n`;
  });
  await rewrite(join(folder, "README.md"), withAbsoluteLinks);
  for (const path of await filesOf(folder)) {
    if (!path.endsWith(".d.ts")) continue;
    const source = await Deno.readTextFile(join(PROJECT, path.replace(/\.d\.ts$/, ".ts")));
    await rewrite(join(folder, path), (text) => withModuleDoc(text, source));
  }
  await bundle(folder);
  for (const path of Object.values(BIN)) {
    await rewrite(join(folder, path), (text) => `#!/usr/bin/env node\n${text}`);
  }
  const packed = await succeed("npm", ["pack", "--silent", "--ignore-scripts"], { cwd: folder });
  const name = packed.stdout.trim();
  const output = resolve(values.output ?? name);
  await Deno.copyFile(join(folder, name), output);
  await Deno.stdout.write(new TextEncoder().encode(`${output}\n`));
} finally {
  await Deno.remove(scratch, { recursive: true });
}

/** What `deno pack` packs, unpacked; resolves with the folder. */
async function draft(allowDirty: boolean): Promise<string> {
  const tarball = join(scratch, "draft.tgz");
  // Source maps would name the folders of the machine that packs.
  const flags = ["--quiet", "--no-source-maps", ...allowDirty ? ["--allow-dirty"] : []];
  await succeed(Deno.execPath(), ["pack", ...flags, "--output", tarball], { cwd: PROJECT });
  await succeed("tar", ["-xzf", tarball], { cwd: scratch });
  return join(scratch, "package");
}

/** Links to files, most of which the package lacks, lead to the repository; pictures are shown from there. */
function withAbsoluteLinks(text: string): string {
  return text
    .replace(/(?<=!\[[^\]]*\]\()(?![a-z]+:)(?=[^\s)]+\))/g, `${REPOSITORY}/raw/HEAD/`)
    .replace(/(?<=<[^>]* (?:src|srcset)=")(?![a-z]+:)/g, `${REPOSITORY}/raw/HEAD/`)
    .replace(/(?<=\]\()(?![a-z]+:|#)(?=[^\s)]+\))/g, `${REPOSITORY}/blob/HEAD/`);
}

/** `deno pack` drops the head of a module together with its first import. */
function withModuleDoc(text: string, source: string): string {
  const [head] = /^\/\*\*(?:(?!\*\/)[^])*@module\b(?:(?!\*\/)[^])*\*\/\n/.exec(source) ?? [""];
  return text.startsWith(head.trimEnd()) ? text : `${head}\n${text}`;
}

async function rewrite(path: string, change: (text: string) => string): Promise<void> {
  await Deno.writeTextFile(path, change(await Deno.readTextFile(path)));
}
