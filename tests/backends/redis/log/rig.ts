/** A Redis server behind a proxy, for tests of its streams. */

import { Proxy } from "../../../services/proxy.ts";
import { start } from "../../../services/redis.ts";
import { Rig } from "../../rig.ts";

/** Keeps what it has accepted. */
export const DURABLE = ["--appendonly", "yes", "--appendfsync", "always"];

/** A rig whose URL names this backend. */
export class StreamRig extends Rig {
  override get url(): string {
    return super.url.replace("redis:", "redis-stream:");
  }
}

export async function rig(args: string[] = []): Promise<StreamRig> {
  const server = await start({ args });
  return new StreamRig(server, await Proxy.start(server.port));
}
