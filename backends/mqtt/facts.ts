/**
 * Facts about an MQTT server.
 *
 * @module
 */

import type { ServerFacts } from "../../core/backend/contract.ts";
import { tlsVersionOf } from "../../core/backend/kit/tls_version.ts";
import { after } from "../../core/util/timer.ts";
import type { Link } from "./link.ts";

/**
 * The topic of the version. Many servers have it as a retained message, but the standard does not
 * define it.
 */
const VERSION = "$SYS/broker/version";
/** The time limit for the message of that topic, in milliseconds. */
const LIMIT = 500;

/** The facts about the server of a connection. */
export async function factsOf(link: Link): Promise<ServerFacts> {
  const { username, password } = link.client.options;
  const version = await versionOf(link);
  return {
    server: version ?? "MQTT 5, without its version",
    // A name without a password may be a token.
    ...username !== undefined && password && { user: username },
    TLS: tlsVersionOf(link.client.stream),
    ...link.largest !== undefined && { "largest message": `${link.largest} bytes` },
  };
}

async function versionOf(link: Link): Promise<string | undefined> {
  let stop = () => {};
  const version = new Promise<string | undefined>((resolve) => {
    const forget = link.listen((topic, payload) => {
      if (topic === VERSION) resolve(new TextDecoder().decode(payload));
    });
    const end = after(LIMIT, () => resolve(undefined));
    stop = () => {
      forget();
      end();
    };
  });
  try {
    await link.ask("suback", (answer) => link.client.subscribe(VERSION, { qos: 0 }, answer));
    return await version;
  } catch {
    return undefined;
  } finally {
    stop();
    await link.ask("unsuback", (answer) => link.client.unsubscribe(VERSION, answer)).catch(
      () => {},
    );
  }
}
