/**
 * The scripts of the package for npm, in fewer files than there are modules: Node and Bun look up, read
 * and compile each file on its own, which was most of the time that a start took.
 *
 * What `mod.js` imports is two files, since all of it is loaded whenever a part is: what backends and
 * codecs are made of, and the rest. Were it one, bundlers would keep all of it for a codec alone. What
 * is loaded on demand stays apart. Nothing is minified: stack traces, and readers, find the code as it is.
 */

import { dirname, isAbsolute, join, relative } from "node:path";
import { type GetModuleInfo, type OutputChunk, rollup } from "npm:rollup@4.68";
import config from "../../deno.json" with { type: "json" };
import { filesOf } from "./published.ts";

/** Exported modules: their paths stay. */
const ENTRIES = Object.values(config.exports).map((path) => path.replace(/^\.\/(.*)\.ts$/, "$1"));

/** What `mod.js` imports, and what every backend does: apart, that would be one more file for each. */
const STARTS = ["mod.js", "core/backend/kit/source.js"];

/** What codecs, backends, event streams and several channels in one subscription import, too. */
const GROUND =
  /^core\/(util\/|backend\/|codec\/|api\/options\.|log\/history\.|fanout\/(reader|start)\.)/;

/** Bundles the scripts of a folder in place. Declarations stay, one for each module. */
export async function bundle(folder: string): Promise<void> {
  const root = await Deno.realPath(folder);
  const pathOf = (id: string) => relative(root, id);
  const graph = await rollup({
    input: Object.fromEntries(ENTRIES.map((entry) => [entry, join(root, `${entry}.js`)])),
    external: (id) => !id.startsWith(".") && !isAbsolute(id),
    // As `sideEffects` of `package.json` has it.
    treeshake: { moduleSideEffects: false },
    onLog: (_level, log) => {
      throw new Error(`Cannot bundle the package: ${log.message}`, { cause: log });
    },
  });
  let started: Set<string> | undefined;
  const { output } = await graph.generate({
    entryFileNames: "[name].js",
    chunkFileNames: ({ name, moduleIds }) =>
      name.endsWith(".js") ? name : nameOf(pathOf(moduleIds.at(-1)!)),
    manualChunks: (id, { getModuleInfo }) => {
      started ??= importsOf(STARTS.map((path) => join(root, path)), getModuleInfo);
      if (!started.has(id)) return undefined;
      if (GROUND.test(pathOf(id))) return "core/ground.js";
      return pathOf(id).startsWith("core/") ? "core/core.js" : undefined;
    },
    hoistTransitiveImports: false,
    minifyInternalExports: false,
  });
  await graph.close();
  for (const path of await filesOf(root)) {
    if (path.endsWith(".js")) await Deno.remove(join(root, path));
  }
  for (const { fileName, code } of output as OutputChunk[]) {
    await Deno.mkdir(join(root, dirname(fileName)), { recursive: true });
    // Nothing is imported for its effects: bundlers would warn of it.
    await Deno.writeTextFile(join(root, fileName), code.replace(/^import '\..*';\n/gm, ""));
  }
}

/** Modules, and all that they import, but for what they load on demand. */
function importsOf(ids: readonly string[], info: GetModuleInfo, found = new Set<string>()) {
  for (const id of ids) {
    if (found.has(id)) continue;
    found.add(id);
    importsOf(info(id)!.importedIds, info, found);
  }
  return found;
}

/**
 * A file that is not exported is named after its last module, which imports the others. If that one is
 * exported, and what is loaded on demand needs more of it, the exported file only passes it on.
 */
function nameOf(path: string): string {
  const name = path.replace(/\.js$/, "");
  return ENTRIES.includes(name) ? `${name}/core.js` : path;
}
