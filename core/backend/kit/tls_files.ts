/**
 * TLS certificates and keys that a broker URL refers to as files.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Address } from "../address.ts";

/** TLS certificates and keys as PEM. */
export interface Pem {
  /** The trusted certificate authorities. */
  readonly ca?: string;
  /** The client certificate. */
  readonly cert?: string;
  /** The private key of the client certificate. */
  readonly key?: string;
}

/** The names of the URL parameters that are paths of PEM files. */
export function pemParameters({ parameters }: Address): readonly (keyof Pem)[] {
  return (["ca", "cert", "key"] as const).filter((name) => parameters.has(name));
}

/**
 * Reads the PEM files of a URL. Call it for each connection, since certificates are renewed.
 *
 * @throws {TypeError} If a file cannot be read.
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
