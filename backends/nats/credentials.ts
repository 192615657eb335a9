/**
 * The text of a credentials file, which has the JWT of a user and the seed of its key.
 *
 * @module
 */

import { Buffer } from "node:buffer";

/** The claims of a JWT. */
const CLAIMS = /BEGIN NATS USER JWT-+\s+[\w-]+\.([\w-]+)\.[\w-]+\s/;

/** The name of the user, or its public key if it has no name. */
export function userIn(text: string): string | undefined {
  const [, claims] = CLAIMS.exec(text) ?? [];
  if (claims === undefined) return undefined;
  try {
    const { name, sub } = JSON.parse(Buffer.from(claims, "base64url").toString());
    const user = name || sub;
    return typeof user === "string" ? user : undefined;
  } catch {
    return undefined;
  }
}
