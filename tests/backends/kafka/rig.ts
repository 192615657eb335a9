/** A broker behind a proxy, with another listener for clients that bypass it. */

import { join } from "node:path";
import { type KafkaOptions, start } from "../../services/kafka.ts";
import { Proxy } from "../../services/proxy.ts";
import type { Server } from "../../services/server.ts";
import { freePort } from "../../services/service.ts";
import { Rig } from "../rig.ts";

/** Brokers tell their clients where to come back to: through the proxy, at the door with the proxy. */
export class KafkaRig extends Rig {
  readonly #direct: string;

  /** The inner door is for those who pass the proxy by. */
  constructor(server: Server, proxy: Proxy, inside: number) {
    super(server, proxy);
    this.#direct = `kafka://127.0.0.1:${inside}`;
  }

  /** Starts the broker and the proxy. */
  static async start(
    { version, properties }: Pick<KafkaOptions, "version" | "properties"> = {},
  ): Promise<KafkaRig> {
    const port = freePort();
    const proxy = await Proxy.start(port);
    const server = await start({
      port,
      advertisedPort: proxy.port,
      ...version && { version },
      ...properties && { properties },
    });
    return new KafkaRig(server, proxy, await innerDoor(port));
  }

  /** Past the proxy. */
  override get direct(): string {
    return this.#direct;
  }
}

/** The port of the inner listener, as the broker's own folder has it. */
async function innerDoor(port: number): Promise<number> {
  const folder = Deno.env.get("TMPDIR") ?? "/tmp";
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.startsWith("kafka-")) continue;
    const text = await Deno.readTextFile(join(folder, name, "server.properties")).catch(() => "");
    const match = /^listeners=CLIENT:\/\/127\.0\.0\.1:(\d+),INSIDE:\/\/127\.0\.0\.1:(\d+)/m
      .exec(text);
    if (Number(match?.[1]) === port) return Number(match![2]);
  }
  throw new Error(`Cannot find the broker of port ${port} in ${folder}`);
}
