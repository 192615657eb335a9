/** The table of schemes in `mod.ts`, which is private: as its source has it. */

import { join } from "node:path";
import { assert } from "@std/assert";
import { PROJECT } from "../runtimes/tarball.ts";

/** A scheme, and the file of its backend. */
export interface Scheme {
  readonly name: string;
  /** `backends/redis/log.ts`. */
  readonly file: string;
  /** Another name of it. */
  readonly alias: string | undefined;
}

const MOD = await Deno.readTextFile(join(PROJECT, "mod.ts"));
const ROW =
  /^ {2}(?:\.\.\.both\("([\w-]+)", "([\w-]+)", |"?([\w-]+)"?: )\{\s*load: \(\) => import\("\.\/([^"]+)"\)/gm;

/** The schemes, in the order of the table. */
export const SCHEMES: readonly Scheme[] = [...MOD.matchAll(ROW)].map((
  [, name, alias, single, file],
) => ({ name: (name ?? single)!, alias, file: file! }));

// What the pattern does not find would go untested.
assert(SCHEMES.length === MOD.match(/import\("/g)?.length, "a row of the table is not found");
