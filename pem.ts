/**
 * Certificates that a broker URL names.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Address } from "./address.ts";

/** What TLS is made of, as PEM. */
export interface Pem {
  /** The authorities to trust. */
  readonly ca?: string;
  /** The client's own certificate. */
  readonly cert?: string;
  /** Its key. */
  readonly key?: string;
}

/** The URL parameters that are paths of PEM files. */
export const PEM_PARAMETERS = ["ca", "cert", "key"] as const;

/** Whether a URL names any. */
export function namesPem({ parameters }: Address): boolean {
  return PEM_PARAMETERS.some((name) => parameters.has(name));
}

/**
 * The files that a URL names.
 *
 * @throws {Error} If one cannot be read.
 */
export async function readPem({ parameters }: Address): Promise<Pem> {
  const texts = PEM_PARAMETERS.filter((name) => parameters.has(name))
    .map(async (name) => [name, await readFile(parameters.get(name)!, "utf8")] as const);
  return Object.fromEntries(await Promise.all(texts));
}
