/** Makes the tables and the drawings of the documents anew: `deno task docs:generate`. */

import { join } from "node:path";
import { succeed } from "../runtimes/process.ts";
import { DRAWINGS } from "./drawings.ts";
import { filled, PAGES, ROOT } from "./pages.ts";

const written = new Map(DRAWINGS);
for (const page of PAGES) written.set(page.path, filled(page));
for (const [path, text] of written) await Deno.writeTextFile(join(ROOT, path), text);
await succeed(Deno.execPath(), ["fmt", "--quiet", ...written.keys()], { cwd: ROOT });
