/** The documents: the README and the pages of `docs`, with their tables and snippets. */

import { join } from "node:path";
import { TABLES } from "./tables.ts";

/** The folder of the project. */
export const ROOT = join(import.meta.dirname!, "..", "..");

/** A document. */
export interface Page {
  /** `README.md` or `docs/brokers/redis.md`. */
  readonly path: string;
  readonly text: string;
}

/** A block of code. */
export interface Snippet {
  readonly page: string;
  /** The number of its first line in the page. */
  readonly line: number;
  /** What stands behind the three backticks: `ts`, `ts ignore`, `sh`. */
  readonly kind: string;
  readonly text: string;
}

/** The documents whose tables, links and snippets are tested. */
export const PAGES: readonly Page[] = await Promise.all(
  ["README.md", ...await pagesIn("docs")].map(async (path) => ({
    path,
    text: await Deno.readTextFile(join(ROOT, path)),
  })),
);

/** All blocks of code. */
export const SNIPPETS: readonly Snippet[] = PAGES.flatMap(({ path, text }) =>
  [...text.matchAll(/^```([^\n`]+)\n([^]*?)^```$/gm)].map(({ 1: kind, 2: code, index }) => ({
    page: path,
    line: text.slice(0, index).split("\n").length + 1,
    kind: kind!,
    text: code!,
  }))
);

/** The paths of all Markdown files of a folder. */
async function pagesIn(folder: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(join(ROOT, folder))) {
    const path = `${folder}/${name}`;
    if (isDirectory && !name.startsWith(".")) paths.push(...await pagesIn(path));
    else if (name.endsWith(".md")) paths.push(path);
  }
  return paths.sort();
}

/**
 * A document whose tables are made anew. A table stands between `<!-- table: name -->` and
 * `<!-- end -->`.
 *
 * @throws {Error} If there is no table of that name.
 */
export function filled({ path, text }: Page): string {
  return text.replace(
    /(<!-- table: (\S+) -->\n)[^]*?(<!-- end -->)/g,
    (_, start: string, name: string, end: string) => {
      const make = TABLES[name];
      if (!make) throw new Error(`${path}: there is no table "${name}"`);
      return `${start}\n${make(path)}\n\n${end}`;
    },
  );
}
