/**
 * The TLS certificates and keys that a broker URL names as files.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Address } from "../address.ts";

/** What TLS is made of, as PEM. */
export interface Pem {
  /** The authorities to trust. */
  readonly ca?: string;
  /** The client's own certificate. */
  readonly cert?: string;
  /** Its key. */
  readonly key?: string;
}

/** The parameters of a URL that are paths of PEM files. */
export function pemParameters({ parameters }: Address): readonly (keyof Pem)[] {
  return (["ca", "cert", "key"] as const).filter((name) => parameters.has(name));
}

/**
 * The files that a URL names: read each time, since certificates are renewed.
 *
 * @throws {TypeError} If one cannot be read.
 */
export async function readPem(address: Address): Promise<Pem> {
  const texts = pemParameters(address).map(async (name) => {
    const path = address.parameters.get(name)!;
    try {
      return [name, await readFile(path, "utf8")] as const;
    } catch {
      throw address.invalid(name, path, "the path of a file that can be read");
    }
  });
  return Object.fromEntries(await Promise.all(texts));
}
