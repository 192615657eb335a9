/**
 * Facts about a NATS server.
 *
 * @module
 */

import type { ServerFacts } from "../../core/backend/contract.ts";
import type { Link } from "./link.ts";

/** The facts about the server of a connection. */
export function factsOf({ client, user }: Link): ServerFacts {
  const { info } = client;
  // The client does not declare these properties of its socket.
  const { protocol } = client as {
    readonly protocol?: { readonly transport?: { isEncrypted?(): boolean } };
  };
  const isSecure = protocol?.transport?.isEncrypted?.();
  return {
    ...info && { server: `NATS ${info.version}`, JetStream: info.jetstream ? "yes" : "no" },
    ...user !== undefined && { user },
    ...isSecure !== undefined && { TLS: isSecure ? "yes" : "no" },
    ...info && { "largest message": `${info.max_payload} bytes` },
  };
}
