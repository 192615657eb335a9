/**
 * The site of the documentation: `deno task docs` builds it into `.cache/site/dist`, and
 * `deno task docs --serve [--port 4173]` shows it.
 *
 * VitePress comes from npm, and is installed once.
 */

import { join } from "node:path";
import { parseArgs } from "node:util";
import { run, said } from "../runtimes/process.ts";
import { ROOT } from "./pages.ts";

const VITEPRESS = "1.6.4";
const FOLDER = join(ROOT, ".cache", "site");
const PROGRAM = join(FOLDER, "node_modules", "vitepress", "bin", "vitepress.js");

/** Where the built site is. */
export const DIST = join(FOLDER, "dist");

/**
 * Builds the site. A copy is built, since the generator looks for its parts above the pages.
 *
 * @throws {Error} If a link leads nowhere, or else with what the generator said.
 */
export async function build(): Promise<void> {
  await install();
  const copy = join(FOLDER, "docs");
  await Deno.remove(copy, { recursive: true }).catch(() => {});
  await copyFolder(join(ROOT, "docs"), copy);
  const outcome = await run("node", [PROGRAM, "build", copy, "--outDir", DIST], { cwd: FOLDER });
  if (outcome.code !== 0) throw new Error(said(outcome));
}

/** Installs the generator, unless it is there. */
async function install(): Promise<void> {
  const installed = await Deno.readTextFile(join(FOLDER, "node_modules/vitepress/package.json"))
    .then((text) => JSON.parse(text).version, () => undefined);
  if (installed === VITEPRESS) return;
  await Deno.mkdir(FOLDER, { recursive: true });
  const manifest = { private: true, dependencies: { vitepress: VITEPRESS } };
  await Deno.writeTextFile(join(FOLDER, "package.json"), JSON.stringify(manifest));
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts"];
  const outcome = await run("npm", ["install", ...flags], { cwd: FOLDER });
  if (outcome.code !== 0) throw new Error(said(outcome));
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(join(from, name), join(to, name));
    else await Deno.copyFile(join(from, name), join(to, name));
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      serve: { type: "boolean", default: false },
      port: { type: "string", default: "4173" },
    },
  });
  await build();
  await Deno.stdout.write(new TextEncoder().encode(`${DIST}\n`));
  if (values.serve) {
    const args = ["preview", "docs", "--outDir", DIST, "--port", values.port];
    const server = new Deno.Command("node", { args: [PROGRAM, ...args], cwd: FOLDER }).spawn();
    Deno.exit((await server.status).code);
  }
}
